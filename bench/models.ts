// The models that are timed: from a weight file of random numbers to a steady stream of runs.
import { openModel } from "../src/classifier.ts";
import { type Graph, type TensorSource, wantedTensors } from "../src/core/graph.ts";
import { elements } from "../src/core/tensor.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { buildModel, type ModelDescription, type ModelName } from "../src/models/index.ts";
import { standardModel } from "../src/profile.ts";
import { createSession } from "../src/session.ts";
import type { ByteSource } from "../src/weights/byte_source.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { randomFile } from "./random_file.ts";
import type { ModelTiming, Result } from "./report.ts";
import { median } from "./rival/compare.ts";
import { stopwatch } from "./stopwatch.ts";
import { tunedFor } from "./tuned.ts";

/** Steady runs of a model: as many as fit, within these bounds. */
const STEADY = { quick: { ms: 500, most: 5 }, full: { ms: 20_000, most: 50 }, least: 3 };

/** Their weights fix the size of a frame. */
export const isTransformer = (name: string): boolean => name === "stam" || name === "vit";

/** A model's description, small with `quick` where it has no fixed size, and a weight file of random numbers for it. */
export function modelFile(model: ModelName, quick: boolean): { clip: ModelDescription; file: ByteSource } {
  const small = quick && !isTransformer(model);
  const standard = standardModel(model, small ? { height: 64, width: 64 } : {});
  const clip = small && !standard.latents && standard.frames > 1 ? { ...standard, frames: 2 } : standard;
  const { heads, temporalHeads } = clip.transformer ?? {};
  const metadata = { model, ...(heads ? { heads: `${heads}`, temporalHeads: `${temporalHeads}` } : {}) };
  return { clip, file: randomFile(`${model}.safetensors`, wantedTensors(buildModel(clip)), metadata) };
}

/** The graph that a weight file asks for, and its tensors: none is read yet. */
export async function readModel(
  file: ByteSource,
  { model, frames, height, width }: ModelDescription,
): Promise<{ graph: Graph; weights: TensorSource }> {
  const checkpoint = await openCheckpoint(file);
  return openModel(checkpoint, { model, frames, height, width });
}

/** A model from its weight file to a steady stream of runs. */
export async function timeModel(
  gpu: Gpu,
  model: ModelName,
  { quick, tuned }: { readonly quick: boolean; readonly tuned: boolean },
): Promise<Result<ModelTiming>> {
  const { clip, file } = modelFile(model, quick);
  const on = await tunedFor(gpu, buildModel(clip), tuned);
  const about = `${clip.frames}x${clip.height}`;
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
    framesPerSecond: (1000 * clip.frames) / middle,
    dispatches: session.counts.dispatches,
    bytes: { planned, lowerBound, naive, weights: stored },
  };
  return { name: model, about, refused: null, timing };
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
