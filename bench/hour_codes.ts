// An hour of stored codes, understood: classified every second, summarised and searched, without a pixel.
//   npm run bench:hour-codes [-- --minutes 60 --store FILE.kvc --weights F --rounds 5 --json F]
// FILE.kvc, or the bundled clip's, is looped to that length in a file that is thrown away. Without weights that fit its codes they are random,
// which takes the same time. Then a run of the network, beside the same network behind pixels, and what must be: memory
// flat, a class from codes 3 x faster than from pixels. Exit status: 0 it is so, 1 it is not, 2 it could not run.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatTime } from "../src/cli/time.ts";
import { CodesClassifier, motionCodesOf } from "../src/codes_classifier.ts";
import { codesTrackOf, rateOf } from "../src/compressor.ts";
import { KinemaError } from "../src/core/fail.ts";
import { openGpu } from "../src/gpu/device.ts";
import { openDawn } from "../src/host/dawn.ts";
import { fileSource } from "../src/host/file_source.ts";
import { nodeStoreFile } from "../src/host/store_file.ts";
import { SpanTracker } from "../src/labels/spans.ts";
import { findSimilar, MomentWriter, withMomentTracks } from "../src/moments.ts";
import { stepRate } from "../src/store/description.ts";
import { type CodesTrack, createStore, openStore, type StoreReader } from "../src/store/index.ts";
import { watch } from "../src/timeline.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { countBytes } from "./gpu_bytes.ts";
import { aliveInNode, inMB, type Tenths, tenthsOf } from "./memory.ts";
import { type ArmTiming, decoderFile, randomNetwork, timeArms } from "./pixel_arms.ts";
import { median } from "./rival/compare.ts";
import { type Sameness, sameness } from "./sameness.ts";
import { fasterThanPixels, flatMemory, inWords, type Verdict } from "./verdicts.ts";

/** What is alive, in bytes, after a collection of garbage. */
interface Memory {
  readonly node: number;
  readonly gpu: number;
}

export interface HourOfCodesReport {
  readonly adapter: string;
  readonly network: string;
  readonly source: string;
  /** Of video. */
  readonly seconds: number;
  readonly bytes: number;
  /** Milliseconds and processor milliseconds for a second of video, all of it: reading, entropy decoding, network, embedding. */
  readonly classified: { readonly ms: number; readonly cpu: number };
  readonly steps: { readonly seen: number; readonly skipped: number };
  readonly spans: number;
  readonly changes: number;
  /** Seconds of each label. */
  readonly labels: Readonly<Record<string, number>>;
  readonly memory: Tenths<Memory>;
  /** Milliseconds of a query over the whole. */
  readonly query: number;
  /** One arm after the other in turns, for a second of video. */
  readonly arms: readonly ArmTiming[];
  readonly same: Sameness;
  readonly verdicts: readonly Verdict[];
}

const SAMPLES = 200;
const QUERIES = 9;
const COPIED_TOGETHER = 64;

const { values: flags } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    store: { type: "string" },
    weights: { type: "string" },
    rounds: { type: "string", default: "5" },
    json: { type: "string" },
  },
});
const [minutes, rounds] = [Number(flags.minutes), Number(flags.rounds)];
if (!(minutes > 0) || !(rounds >= 1)) {
  console.error(
    "usage: npm run bench:hour-codes [-- --minutes N --store F.kvc --weights F --rounds N --json F] (--rounds 1 or more)",
  );
  process.exit(2);
}
const root = process.cwd();

const folder = mkdtempSync(join(tmpdir(), "kinema-hour-codes-"));
try {
  // What cannot be timed is said before an hour's work.
  const source = flags.store ?? join(root, "bench", "assets", "motion.kvc");
  const clip = await openStore(await fileSource(source));
  const track = codesTrackOf(clip.description, source);
  const checkpoint = await networkFor(track);
  const compressor = decoderFile(clip, track, motionCodesOf(checkpoint), { folder: join(root, "weights"), source });
  const report = await measured(source, clip, track, checkpoint, compressor);
  console.log(printed(report));
  if (flags.json) writeFileSync(flags.json, `${JSON.stringify(report, null, 1)}\n`);
  if (report.verdicts.some(({ met }) => !met)) process.exitCode = 1;
} catch (error) {
  console.error(error instanceof KinemaError ? error.message : error);
  process.exitCode = 2;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function measured(
  source: string,
  clip: StoreReader,
  track: CodesTrack,
  checkpoint: Checkpoint,
  compressor: string,
): Promise<HourOfCodesReport> {
  const dawn = await openDawn();
  try {
    using gpu = await openGpu({ gpu: dawn.gpu });
    const gpuBytes = countBytes(gpu.device);
    const classifier = await CodesClassifier.create(gpu, checkpoint, track, source);
    const hour = join(folder, "hour.kvc");
    const whole = await understand(clip, track, classifier, hour, gpuBytes);
    const reader = await openStore(await fileSource(hour));
    const times: number[] = [];
    for (let i = 0; i < QUERIES; i++) {
      const start = performance.now();
      await findSimilar(reader, ((i + 0.5) / QUERIES) * (whole.seconds - 1), 5, hour);
      times.push(performance.now() - start);
    }
    classifier.dispose();
    const arms = await timeArms(gpu, checkpoint, clip, track, classifier, { compressor, rounds });
    return {
      adapter: dawn.adapterDescription,
      source: clip.description.source ?? source,
      ...whole,
      query: median(times),
      arms,
      same: await sameness(clip, track, classifier),
      verdicts: [flatMemory(whole.memory), fasterThanPixels(arms.at(-1)!)],
    };
  } finally {
    dawn.close();
  }
}

async function networkFor(track: CodesTrack): Promise<Checkpoint> {
  const shipped = join(root, "weights", `kinema-motion-codes-${rateOf(track)}.safetensors`);
  if (flags.weights) return openCheckpoint(await fileSource(flags.weights));
  if (existsSync(shipped)) {
    const checkpoint = await openCheckpoint(await fileSource(shipped));
    if (checkpoint.metadata.quantiser === track.quantiser) return checkpoint;
  }
  console.error("no weights for these codes: random ones");
  return randomNetwork(track);
}

/** Loops a clip's chunks into a store, watches it, and adds what was seen. */
async function understand(
  clip: StoreReader,
  track: CodesTrack,
  classifier: CodesClassifier,
  path: string,
  gpuBytes: () => number,
) {
  const description = withMomentTracks(clip.description, classifier.standard.mean.length, classifier.name);
  const file = await nodeStoreFile(path, { create: "new" });
  const writer = await createStore(file, description, { chunksPerCommit: COPIED_TOGETHER });
  const wanted = Math.round(minutes * 60 * stepRate(description, track));
  while (writer.steps(track.name) < wanted)
    for await (const chunk of clip.chunks(0, undefined, track.name)) {
      await writer.appendChunk(chunk, track.name);
      if (writer.steps(track.name) >= wanted) break;
    }
  await writer.commit();
  const reader = await openStore(await fileSource(path));
  const moments = new MomentWriter(writer);
  const tracker = new SpanTracker(classifier.labels);
  const labels: Record<string, number> = {};
  const samples: Memory[] = [];
  const total = reader.steps(track.name) / stepRate(description, track);
  let [seen, skipped, spans, changes, sampled, seconds] = [0, 0, 0, 0, 0, 0];
  const [began, before] = [performance.now(), processorMs()];
  let aside = { ms: 0, cpu: 0 };
  for await (const second of watch(reader, track, classifier)) {
    for (const step of second.steps) {
      seen++;
      if (step.skipped) skipped++;
      if (tracker.push(step.time, step.logits)) spans++;
    }
    if (second.change) changes++;
    labels[second.label] = (labels[second.label] ?? 0) + 1;
    await moments.add(second);
    seconds++;
    if (second.to - sampled < total / SAMPLES) continue;
    sampled = second.to;
    const [at, cpu] = [performance.now(), processorMs()];
    samples.push({ node: await aliveInNode(), gpu: gpuBytes() });
    aside = { ms: aside.ms + performance.now() - at, cpu: aside.cpu + processorMs() - cpu };
    const left = ((performance.now() - began) / second.to) * (total - second.to);
    if (samples.length % 10 === 0)
      console.error(`${formatTime(second.to)}, ${formatTime(left / 1000)} left: ${inMB(samples.at(-1)!)}`);
  }
  await moments.flush();
  const ms = performance.now() - began - aside.ms;
  const cpu = processorMs() - before - aside.cpu;
  await writer.close();
  return {
    network: classifier.name,
    seconds,
    bytes: (await fileSource(path)).size,
    classified: { ms: ms / seconds, cpu: cpu / seconds },
    steps: { seen, skipped },
    spans: spans + (tracker.finish(total) ? 1 : 0),
    changes,
    labels,
    memory: tenthsOf(samples)!,
  };
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function printed({ classified, steps, memory, same, ...of }: HourOfCodesReport): string {
  const share = (part: number, whole = 1) => `${((100 * part) / whole).toFixed(1)} %`;
  const labels = Object.entries(of.labels).sort(([, a], [, b]) => b - a);
  const rows: [string, string][] = [
    ["source", `${of.source} in a loop, ${formatTime(of.seconds)}, ${(of.bytes / 1e6).toFixed(1)} MB`],
    ["network", of.network],
    ["on", of.adapter],
    [
      "classified",
      `${classified.ms.toFixed(1)} ms for a second of video, ${classified.cpu.toFixed(1)} of processor time`,
    ],
    ["steps", `${steps.seen}, ${share(steps.skipped, steps.seen)} skipped`],
    ["alive, first tenth", inMB(memory.first)],
    ["alive, last tenth", inMB(memory.last)],
    ["seen", labels.map(([label, count]) => `${label} ${share(count, of.seconds)}`).join(", ")],
    ["", `${of.spans} spans, ${of.changes} changes`],
    ["a query", `${of.query.toFixed(1)} ms over ${of.seconds} seconds`],
    ...of.arms.map(({ name, ms, cpu, ratio }): [string, string] => [
      name,
      `${ms.toFixed(1)} ms for a second of video, ${ratio.ms.toFixed(2)} x; ${cpu.toFixed(1)} of processor time, ${ratio.cpu.toFixed(2)} x`,
    ]),
    ["codes as before", `${share(same.sites)} of sites, ${share(same.steps)} of whole steps`],
    ["", `the first block's output as before at ${share(same.block)} of places`],
    ...of.verdicts.map((verdict): [string, string] => ["", inWords(verdict)]),
  ];
  return rows.map(([name, text]) => `${name.padEnd(24)} ${text}`).join("\n");
}
