// Where the headless bench runs: this Node process, a Chromium, or Deno.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { fail } from "../src/core/fail.ts";
import { launchBrowser } from "../src/host/chromium.ts";
import { openPage } from "../src/host/page.ts";
import type { Wgpu } from "../test/naga/find.ts";
import type { Host } from "./command.ts";
import { onNode } from "./on_node.ts";
import type { Report } from "./report.ts";
import type { BenchOptions, BenchProgress } from "./run.ts";

const CACHE = join(process.cwd(), "node_modules", ".cache", "kinema");

async function onChromium(options: Omit<BenchOptions, "browser">, progress: BenchProgress): Promise<Report> {
  const bundle = await bundled("remote");
  const browser = await launchBrowser();
  try {
    const page = await openPage(browser, { bundle });
    const report = await page.call<Report>("bench", options, { onProgress: (line) => progress(String(line)) });
    await page.close();
    return report;
  } finally {
    await browser.close();
  }
}

async function onDeno(options: Omit<BenchOptions, "browser">, progress: BenchProgress): Promise<Report> {
  const wgpu = await findWgpu();
  if (!wgpu) return fail("no-webgpu", "Deno is not there; node test/naga/install.mjs brings it");
  const bundle = await bundled("deno");
  const folder = mkdtempSync(join(tmpdir(), "kinema-bench-"));
  try {
    const env = { ...process.env, ...wgpu.env, XDG_RUNTIME_DIR: folder, DENO_DIR: folder, NO_COLOR: "1" };
    const args = ["run", "--unstable-webgpu", "--no-prompt", bundle, JSON.stringify(options)];
    const deno = spawn(wgpu.deno, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let [report, said] = ["", ""];
    deno.stdout.on("data", (text) => {
      report += text;
    });
    deno.stderr.on("data", (text) => {
      said = String(text).trim() || said;
      progress(String(text).trimEnd());
    });
    const status = await new Promise<number | null>((done, failed) => deno.on("error", failed).on("close", done));
    if (status !== 0) fail("device-lost", `Deno ended with ${status}: ${said.split("\n")[0]}`);
    return JSON.parse(report) as Report;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What test/naga/find.ts finds. It looks beside itself, so it is bundled alone and told where that is. */
async function findWgpu(): Promise<Wgpu | null> {
  const source = join(process.cwd(), "test", "naga", "find.ts");
  const outfile = join(CACHE, `bench_find-${process.pid}.mjs`);
  const define = { "import.meta.url": JSON.stringify(pathToFileURL(source).href) };
  await build({ entryPoints: [source], outfile, bundle: true, platform: "node", format: "esm", define });
  const found = (await import(pathToFileURL(outfile).href)) as typeof import("../test/naga/find.ts");
  rmSync(outfile);
  return found.findWgpu();
}

/** The script of a place that is not this process, for wherever a browser's modules run. */
async function bundled(place: "remote" | "deno"): Promise<string> {
  const outfile = join(CACHE, `bench_${place}.js`);
  const entryPoints = [join(process.cwd(), "bench", "page", `${place}.ts`)];
  const options = { bundle: true, format: "esm", target: "es2022", platform: "neutral", logLevel: "error" } as const;
  await build({ ...options, entryPoints, outfile, mainFields: ["module", "main"] });
  return outfile;
}

export const HOSTS: Readonly<Record<string, Host>> = { node: onNode, chromium: onChromium, deno: onDeno };
