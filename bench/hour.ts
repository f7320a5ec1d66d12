// An hour of video through everything: decoded, encoded, stored on disc, read again anywhere.
//   npm run bench:hour [-- --minutes 60 --rate 192 --size 256 --seeks 20 --out FILE.kvc --json F]
// The source is the real clips of ../shared/data (KINEMA_DATA) in a loop, or the bundled clip where they are not. Broken off, it goes on
// where FILE.kvc ends; without --out nothing is kept. Ends with exit code 1 where a criterion of an hour is not met.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { openOutput } from "../src/cli/compress.ts";
import { formatTime } from "../src/cli/time.ts";
import { CODES_TRACK } from "../src/compressor.ts";
import { launchBrowser } from "../src/host/chromium.ts";
import { fileSource } from "../src/host/file_source.ts";
import { openPage, type Page } from "../src/host/page.ts";
import { nodeStoreFile } from "../src/host/store_file.ts";
import { bitsPerStep, type CodesTrack, framesPerStep, stepRate } from "../src/store/description.ts";
import { type Codes, createStore, openStore } from "../src/store/index.ts";
import type { Look, OpenArgs, Opened } from "./hour_page.ts";
import { aliveInNode, inMB, type Tenths, tenthsOf } from "./memory.ts";
import { inWords, ofTheHour, type Verdict } from "./verdicts.ts";

/** What is alive, in bytes, after a collection of garbage. */
export interface Memory {
  readonly node: number;
  readonly page: number;
  readonly gpu: number;
}

interface Seek {
  readonly second: number;
  /** Milliseconds to find and read the chunk, and to decode its codes. */
  readonly found: number;
  readonly decoded: number;
  /** Pictures of that second, of the first few seeks. */
  readonly look?: Look;
}

export interface HourReport {
  readonly adapter: string;
  readonly clips: readonly string[];
  readonly frames: number;
  readonly size: number;
  readonly rate: string;
  /** Of this run: frames that were there already, and seconds that the others took. */
  readonly resumed: number;
  readonly seconds: number;
  /** Of this run; null where nothing was left to encode. */
  readonly memory: Tenths<Memory> | null;
  /** The rANS store, the same codes packed, and what they are by the formula. */
  readonly bytes: { readonly rans: number; readonly packed: number; readonly computed: number };
  /** Processor seconds to read the whole store and write it packed. */
  readonly rewriting: number;
  readonly opening: number;
  readonly seeks: readonly Seek[];
  readonly verdicts: readonly Verdict[];
}

const FPS = 25;
const SAMPLES = 200;
const LOOKS = 4;

const { values: flags } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    rate: { type: "string", default: "192" },
    size: { type: "string", default: "256" },
    seeks: { type: "string", default: "20" },
    out: { type: "string" },
    json: { type: "string" },
  },
});
const frames = Math.round(Number(flags.minutes) * 60 * FPS);
const size = Number(flags.size);
const root = process.cwd();
const weights = join(root, "weights", `kinema-compressor-${flags.rate}.safetensors`);
if (!existsSync(weights) || !(frames >= 1) || !(size >= 16 && size % 8 === 0) || !(Number(flags.seeks) >= 1)) {
  console.error(
    "usage: npm run bench:hour [-- --minutes N --rate 30|192|384 --size PIXELS --seeks N --out F.kvc --json F]",
  );
  process.exit(2);
}

const data = join(process.env.KINEMA_DATA ?? resolve(root, "../shared/data"), "clips");
const clips = existsSync(data)
  ? readdirSync(data, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".mp4"))
      .sort()
      .map((name) => join(data, name))
  : [join(root, "bench/assets/motion.webm")];

const ended = new AbortController();
process.once("SIGINT", () => ended.abort());

const folder = flags.out ? null : mkdtempSync(join(tmpdir(), "kinema-hour-"));
const out = flags.out ?? join(folder!, "hour.kvc");
const packed = `${out}.packed`; // the same codes packed, while the bench runs
const browser = await launchBrowser();
let page: Page | null = null;
try {
  const bundle = join(root, "node_modules", ".cache", "kinema", "hour_page.js");
  const entryPoints = [join(root, "bench", "hour_page.ts")];
  await build({ entryPoints, bundle: true, format: "esm", target: "es2022", outfile: bundle, logLevel: "error" });
  page = await openPage(browser, { bundle });
  const { file } = page;
  const args: OpenArgs = {
    clips: clips.map((path) => ({ name: basename(path), url: file(path) })),
    weightsUrl: file(weights),
    weightsName: basename(weights),
    frames,
    size,
    fps: FPS,
  };
  const opened = await page.call<Opened>("open", args);
  const recorded = await record(page, opened);
  if (ended.signal.aborted) {
    console.error(`broken off${flags.out ? `; the same command goes on where ${out} ends` : ""}`);
    process.exitCode = 130;
  } else {
    const measured = { ...recorded, ...(await readAgain(page, opened)) };
    const report: HourReport = { ...measured, verdicts: ofTheHour(measured) };
    console.log(printed(report));
    if (!report.verdicts.every(({ met }) => met)) process.exitCode = 1;
    if (flags.json) writeFileSync(flags.json, `${JSON.stringify(report, null, 1)}\n`);
  }
} finally {
  await page?.close();
  await browser.close();
  rmSync(packed, { force: true });
  if (folder) rmSync(folder, { recursive: true, force: true });
}

/** Encodes what the store lacks, and looks at the memory while it does. */
async function record(page: Page, { adapter, description, steps }: Opened) {
  const memoryNow = await memoryOf(page);
  const writer = await openOutput(out, description, steps);
  const from = writer.steps(CODES_TRACK);
  const perStep = framesPerStep(description.tracks[0]!);
  const samples: Memory[] = [];
  const began = performance.now();
  let sampled = from;
  try {
    while (writer.steps(CODES_TRACK) < steps && !ended.signal.aborted) {
      const codes = await page.call<Codes | null>("next", { from });
      if (!codes) break;
      await writer.append(codes, CODES_TRACK);
      const done = writer.steps(CODES_TRACK);
      if (done - sampled < steps / SAMPLES && done < steps) continue;
      sampled = done;
      samples.push(await memoryNow());
      const speed = ((done - from) * perStep * 1000) / (performance.now() - began);
      const left = formatTime(((steps - done) * perStep) / speed);
      console.error(
        `${((100 * done) / steps).toFixed(1)} %, ${speed.toFixed(1)} frames/s, ${left} left: ${inMB(samples.at(-1)!)}`,
      );
    }
  } finally {
    await writer.close();
  }
  const names = clips.map((path) => basename(path));
  const seconds = (performance.now() - began) / 1000;
  return {
    adapter,
    clips: names,
    frames,
    size,
    rate: flags.rate,
    resumed: from * perStep,
    seconds,
    memory: tenthsOf(samples),
  };
}

/** Reads the whole store once, and then seconds of it anywhere. */
async function readAgain(page: Page, { description }: Opened) {
  const before = process.cpuUsage().user;
  const source = await fileSource(out);
  const writer = await createStore(await nodeStoreFile(packed, { create: "replace" }), description, {
    codec: "packed",
    chunksPerCommit: 64,
  });
  for await (const chunk of (await openStore(source)).chunks(0, undefined, CODES_TRACK))
    await writer.append(chunk.codes());
  await writer.close();
  const rewriting = (process.cpuUsage().user - before) / 1e6;
  const began = performance.now();
  const reader = await openStore(await fileSource(out));
  const opening = performance.now() - began;
  const other = await openStore(await fileSource(packed));
  const track = description.tracks[0] as CodesTrack;
  const steps = reader.steps(CODES_TRACK);
  const perSecond = Math.ceil(stepRate(description, track));
  const seeks: Seek[] = [];
  for (let i = 0; i < Number(flags.seeks); i++) {
    // Spread over the whole without an order.
    const step = Math.floor((((i + 1) * Math.SQRT2) % 1) * Math.max(1, steps - perSecond));
    const start = performance.now();
    const chunk = (await reader.chunkAt(step, CODES_TRACK))!;
    const found = performance.now() - start;
    chunk.codes();
    const decoded = performance.now() - start - found;
    const end = Math.min(steps, step + perSecond);
    const codes = await reader.read(step, end, CODES_TRACK);
    if (!sameCodes(codes, await other.read(step, end, CODES_TRACK)))
      throw new Error(`step ${step} differs when packed`);
    const seek = { second: step / stepRate(description, track), found, decoded };
    const first = step * framesPerStep(track);
    seeks.push(i < LOOKS ? { ...seek, look: await page.call<Look>("look", { first, codes }) } : seek);
  }
  const computed = (steps * bitsPerStep(track)) / 8;
  const bytes = { rans: (await stat(out)).size, packed: (await stat(packed)).size, computed };
  return { bytes, rewriting, opening, seeks };
}

function sameCodes(a: Codes, b: Codes): boolean {
  return a.length === b.length && a.every((code, i) => code === b[i]);
}

/** Looks at the memory of this process, of the page's scripts and of the page's GPU objects. */
async function memoryOf(page: Page): Promise<() => Promise<Memory>> {
  const tab = (await browser.puppeteer.pages()).at(-1)!;
  const session = await tab.createCDPSession();
  return async () => {
    const node = await aliveInNode();
    await session.send("HeapProfiler.collectGarbage");
    const usage: Partial<Record<string, number>> = { ...(await session.send("Runtime.getHeapUsage")) };
    return {
      node,
      page: (usage.usedSize ?? 0) + (usage.embedderHeapUsedSize ?? 0) + (usage.backingStorageSize ?? 0),
      gpu: await page.call<number>("gpuBytes"),
    };
  };
}

function printed({ adapter, resumed, seconds, memory, bytes, rewriting, opening, seeks, ...of }: HourReport): string {
  const share = (part: number, whole: number) => `${((100 * part) / whole).toFixed(2)} %`;
  const list = (values: number[], digits = 1) => {
    const sorted = values.sort((a, b) => a - b);
    return `${sorted[sorted.length >> 1]!.toFixed(digits)} ms (median), ${sorted.at(-1)!.toFixed(digits)} ms (longest)`;
  };
  const speed = `${((of.frames - resumed) / seconds).toFixed(2)} frames/s`;
  const looks = seeks.flatMap(({ look }) => look ?? []);
  const rows = [
    [
      "source",
      `${of.clips.length} clips in a loop, ${formatTime(of.frames / FPS)} of ${of.size} x ${of.size} at ${FPS} frames/s`,
    ],
    ["on", adapter],
    ["encoding", `${memory ? speed : "nothing"}${resumed > 0 ? `; ${resumed} frames were there` : ""}`],
    ...(memory
      ? [
          ["alive, first tenth", inMB(memory.first)],
          ["alive, last tenth", inMB(memory.last)],
        ]
      : []),
    [
      "packed",
      `${bytes.packed} bytes; computed ${Math.round(bytes.computed)}, ${share(bytes.packed - bytes.computed, bytes.computed)} more`,
    ],
    ["rANS", `${bytes.rans} bytes, ${share(bytes.packed - bytes.rans, bytes.packed)} smaller`],
    [
      "whole store read",
      `${(bytes.computed / 1e6 / rewriting).toFixed(1)} MB/s of packed codes, processor time, written packed as well`,
    ],
    ["opening", `${opening.toFixed(1)} ms`],
    ["finding a second", list(seeks.map(({ found }) => found))],
    ["its codes", list(seeks.map(({ decoded }) => decoded))],
    [
      "its pictures",
      `${list(
        looks.map(({ ms }) => ms),
        0,
      )}, ${looks.map(({ psnr }) => psnr.toFixed(1)).join(", ")} dB`,
    ],
  ];
  rows.push(...of.verdicts.map((verdict): [string, string] => ["", inWords(verdict)]));
  return rows.map(([name, text]) => `${name!.padEnd(18)} ${text}`).join("\n");
}
