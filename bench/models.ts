// The models that are timed: from a weight file of random numbers to a steady stream of runs.
import { openModel } from "../src/classifier.ts";
import { type Graph, type TensorSource, wantedTensors } from "../src/core/graph.ts";
import { elements, padChannels } from "../src/core/tensor.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { buildModel, type ModelDescription, type ModelName, takesClips } from "../src/models/index.ts";
import { standardModel } from "../src/profile.ts";
import { createSession, type Session } from "../src/session.ts";
import type { ByteSource } from "../src/weights/byte_source.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { randomFile } from "./random_file.ts";
import type { ModelTiming, Result } from "./report.ts";
import { median } from "./rival/compare.ts";
import { runsARound, timeRuns } from "./rounds.ts";
import { stopwatch } from "./stopwatch.ts";
import { tunedFor } from "./tuned.ts";

/** Steady runs of a model: as many as fit, within these bounds. */
const STEADY = { quick: { ms: 500, most: 5 }, full: { ms: 20_000, most: 50 }, least: 3 };

/** Their weights fix the size of a frame. */
export const isTransformer = (name: string): boolean => name === "stam" || name === "vit";

/** Their frames are images that know nothing of each other. */
const isPerImage = (name: string): boolean => name === "mobilenetv2" || name === "vit";

/** Whether several clips, or images, can be one run of a model. */
export const takesBatch = (model: ModelName): boolean => isPerImage(model) || takesClips(standardModel(model));

/** A model's description, small with `quick` where it has no fixed size, and a weight file of random numbers for it. */
export function modelFile(model: ModelName, quick: boolean, batch = 1): { clip: ModelDescription; file: ByteSource } {
  const small = quick && !isTransformer(model);
  const many = isPerImage(model) ? { frames: batch } : { clips: batch };
  const size = { ...(batch > 1 ? many : {}), ...(small ? { height: 64, width: 64 } : {}) };
  const standard = standardModel(model, size);
  const shorter = small && !standard.latents && !isPerImage(model) && standard.frames > 1;
  const clip = shorter ? { ...standard, frames: 2 } : standard;
  const { heads, temporalHeads } = clip.transformer ?? {};
  const metadata = { model, ...(heads ? { heads: `${heads}`, temporalHeads: `${temporalHeads}` } : {}) };
  return { clip, file: randomFile(`${model}.safetensors`, wantedTensors(buildModel(clip)), metadata) };
}

/** The graph that a weight file asks for, and its tensors: none is read yet. */
export async function readModel(
  file: ByteSource,
  { model, frames, clips = 1, height, width }: ModelDescription,
): Promise<{ graph: Graph; weights: TensorSource }> {
  const checkpoint = await openCheckpoint(file);
  return openModel(checkpoint, { model, frames, clips, height, width });
}

export interface ModelRun {
  readonly quick: boolean;
  readonly tuned: boolean;
  /** Clips, or images, in a run. */
  readonly batch: number;
  /** Of the network alone, on a GPU. */
  readonly rounds: number;
}

/** A model from its weight file to a steady stream of runs. */
export async function timeModel(
  gpu: Gpu,
  model: ModelName,
  { quick, tuned, batch, rounds }: ModelRun,
): Promise<Result<ModelTiming>> {
  const { clip, file } = modelFile(model, quick, batch);
  const on = await tunedFor(gpu, buildModel(clip), tuned);
  const frames = isPerImage(model) ? batch : clip.frames * batch;
  const about = `${batch > 1 ? `${batch} x ` : ""}${frames / batch}x${clip.height}`;
  const lap = stopwatch();
  const { graph, weights } = await readModel(file, clip);
  const parse = lap();
  let pack = 0;
  using session = await createSession(on, graph, weights, {
    onProgress: ({ phase, fraction }) => {
      if (phase === "upload" && fraction === 1) pack = lap();
    },
  });
  const compile = lap();
  const [input, { spec }] = Object.entries(graph.inputs)[0]!;
  const feeds = { [input]: Float32Array.from({ length: elements(spec) }, (_, i) => Math.sin(i)) };
  lap();
  const [name, values] = Object.entries(await session.run(feeds))[0]!;
  const first = lap();
  const refused = senseless(name, values);
  if (refused) return { name: model, about, refused, timing: null };

  const { ms, most } = quick ? STEADY.quick : STEADY.full;
  const runs: number[] = [];
  for (let spent = 0; runs.length < STEADY.least || (spent < ms && runs.length < most); ) {
    lap();
    await session.run(feeds);
    runs.push(lap());
    spent += runs.at(-1)!;
  }
  const middle = median(runs);
  const { planned, lowerBound, naive, weights: stored } = session.plan.bytes;
  const timing = {
    cold: { parse, pack, compile, first },
    ms: middle,
    p95: percentile(runs, 0.95),
    runs: runs.length,
    ...(gpu.caps.kind === "gpu" ? { networkMs: await timeNetwork(session, feeds[input]!, rounds) } : {}),
    framesPerSecond: (1000 * frames) / middle,
    dispatches: session.counts.dispatches,
    bytes: { planned, lowerBound, naive, weights: stored },
  };
  return { name: model, about, refused: null, timing };
}

/**
 * A run of the network alone, ms: its input is on the GPU, its output stays there, and as many runs as a clock needs are one submit. A software
 * adapter has no way to a GPU to leave out.
 */
export async function timeNetwork(session: Session, data: Float32Array<ArrayBuffer>, rounds: number): Promise<number> {
  const [name, { spec }] = Object.entries(session.plan.graph.inputs)[0]!;
  const { device } = session.gpu;
  const range = session.range(name);
  const input = device.createBuffer({ size: range.size, usage: 12 /* COPY_SRC | COPY_DST */ });
  try {
    device.queue.writeBuffer(input, 0, padChannels(data, spec));
    // Other tensors take the input's memory in each run, and times may depend on the numbers.
    const fill = (encoder: GPUCommandEncoder) =>
      encoder.copyBufferToBuffer(input, 0, range.buffer, range.offset, range.size);
    const runs = await runsARound(session, fill);
    const ms: number[] = [];
    for (let round = 0; round < rounds; round++) ms.push((await timeRuns(session, runs, fill)) / runs);
    return median(ms);
  } finally {
    input.destroy();
  }
}

/** The smallest of the values that so large a share of them does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!;
}

/** Whole networks are held against PyTorch by the tests; here a line about an output that no network gives. */
function senseless(name: string, values: Float32Array): string | null {
  if (!values.every(Number.isFinite)) return `${name} is not finite`;
  return values.every((value) => value === values[0]) ? `all of ${name} is the same` : null;
}
