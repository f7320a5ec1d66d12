// In Node: Kinema beside its rivals, each pair in a browser of its own, so that one that hangs or crashes takes nothing along.
import { join } from "node:path";
import { build } from "esbuild";
import { fail } from "../../src/core/fail.ts";
import { launchBrowser } from "../../src/host/chromium.ts";
import { openPage, type Page } from "../../src/host/page.ts";
import { bundleRivals, hasModel, rivalFolders, rivalsHere } from "../../tools/rivals.mjs";
import { type Report, type RivalResult, rivalRow } from "../report.ts";
import type { BenchProgress } from "../run.ts";
import { RIVAL_CASES } from "./cases.ts";
import type { Limits } from "./compare.ts";
import { choosePairs, type Pair, type Places } from "./engines.ts";
import type { PairArgs } from "./page.ts";

export interface BesideOptions extends Limits {
  readonly cases: readonly string[];
  /** Names of rivals; none means all. */
  readonly rivals: readonly string[];
  readonly commit: string;
}

/** Seconds on top of the budget for a page that does not answer at all: its own clock stands still with it. */
const GRACE = 30;
const INSTALL = "cd bench/rival && npm ci --ignore-scripts";

/** Why a pair cannot even be tried here, as a line; null where it can. */
export function missing({ name, rival }: Pair, installed: readonly string[], has: (name: string) => boolean) {
  if (!installed.includes(rival)) return `not installed: ${INSTALL}`;
  if (!rival.startsWith("ort-") || has(name)) return null;
  return `models/${name}.onnx is not there: /usr/bin/python3 tools/reference/export_onnx.py ${name}`;
}

/** A report whose only results are those beside the rivals; `keep` gets it after each of them. @throws "usage" when none is installed */
export async function benchBeside(
  options: BesideOptions,
  progress: BenchProgress,
  keep: (report: Report) => void = () => {},
): Promise<Report> {
  const root = process.cwd();
  const pairs = choosePairs(options.cases, options.rivals);
  const installed = rivalsHere(root);
  if (installed.length === 0) fail("usage", `no rival is installed: ${INSTALL}`);
  await bundleRivals(root);
  const bundle = join(root, "node_modules", ".cache", "kinema", "rival.js");
  const entryPoints = [join(root, "bench", "rival", "page.ts")];
  await build({ entryPoints, outfile: bundle, bundle: true, format: "esm", target: "es2022", logLevel: "error" });
  const { commit, rounds, budget } = options;
  const report = await inPage(bundle, null, (page) => page.call<Report>("about", { commit }));
  const rivals: RivalResult[] = [];
  for (const one of pairs) {
    const line = missing(one, installed, (name) => hasModel(root, name));
    const args: Omit<PairArgs, "places"> = { ...one, rounds, budget };
    const result = line ? refusal(one, line) : await tryPair(bundle, rivalFolders(root), args, progress);
    // As it comes: the whole takes an hour on a processor.
    progress(rivalRow(result).join("  "));
    rivals.push(result);
    keep({ ...report, rivals });
  }
  return { ...report, rivals };
}

const refusal = ({ name, rival }: Pair, refused: string): RivalResult => ({
  ...{ name, about: RIVAL_CASES[name].about, rival, version: "", refused, timing: null },
});

async function tryPair(
  bundle: string,
  folders: Readonly<Record<string, string>>,
  args: Omit<PairArgs, "places">,
  progress: BenchProgress,
): Promise<RivalResult> {
  const signal = AbortSignal.timeout(1000 * (args.budget + GRACE));
  try {
    return await inPage(bundle, folders, (page) => {
      const at = Object.keys(folders).map((name) => [name, `${page.root(name)}/`]);
      const places = Object.fromEntries(at) as unknown as Places;
      const onProgress = (line: unknown) => progress(String(line));
      return page.call<RivalResult>("pair", { ...args, places }, { signal, onProgress });
    });
  } catch (error) {
    const said = error instanceof Error ? error.message.split("\n")[0]! : String(error);
    return refusal(args, signal.aborted ? `the page stood still for more than ${args.budget} s` : said);
  }
}

async function inPage<T>(
  bundle: string,
  roots: Readonly<Record<string, string>> | null,
  work: (page: Page) => Promise<T>,
): Promise<T> {
  const browser = await launchBrowser();
  try {
    const page = await openPage(browser, { bundle, ...(roots ? { roots } : {}) });
    try {
      return await work(page);
    } finally {
      await page.close();
    }
  } finally {
    await browser.close();
  }
}
