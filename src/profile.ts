// Where does a model's time go, and how near is each kernel to what the adapter can do?
import { bestOf, type Ceilings, countLoads, flopsFor, measureCeilings } from "./ceilings.ts";
import { type ModelOptions, openModel } from "./classifier.ts";
import { fail } from "./core/fail.ts";
import { type Graph, type TensorSource, wantedTensors } from "./core/graph.ts";
import { typeOf, type WeightType } from "./core/kept.ts";
import { elements, product } from "./core/tensor.ts";
import type { Gpu } from "./gpu/device.ts";
import { type Profile, type ProfileOptions, runsOf } from "./gpu/profile.ts";
import {
  buildModel,
  isLatentModel,
  type ModelDescription,
  type ModelName,
  standardLatents,
  standardShift,
} from "./models/index.ts";
import { type DType, withPrecision } from "./precision.ts";
import { createSession, type Session } from "./session.ts";
import type { Checkpoint } from "./weights/checkpoint.ts";
import { framesPerRun } from "./weights/taesd.ts";

export type Bound = "fma" | "load" | "copy";

/** One dispatch, or all of one kernel variant, against the ceilings. */
export interface Measured {
  readonly ms: number;
  /** Share of all steps' time. */
  readonly share: number;
  readonly macs: number;
  readonly bytes: number;
  /** Loads of 16 bytes that the kernel issues to memory; see countLoads. */
  readonly loads: number;
  /**
   * The ceiling that is nearest, and how much of it was reached: the least time that it leaves / the time that was taken. null, as is
   * `loadAware`, where the ceiling of some step's arithmetic was not measured (see flopsFor).
   */
  readonly bound: Bound | null;
  readonly reached: number | null;
  /**
   * The same of the load-aware ceiling, which a processor has: its cores issue loads and multiply-adds in turns, so that their least times
   * add up (or the copy's, where that is longer). A GPU can do all at once, and stand above it.
   */
  readonly loadAware: number | null;
}

export interface ProfiledStep extends Measured {
  readonly node: string;
  readonly op: string;
  readonly kernel: string;
  /** As in a profile: how many dispatches were timed together. */
  readonly repeats: number;
}

export interface ProfiledVariant extends Measured {
  readonly kernel: string;
  readonly dispatches: number;
}

/** Plain data: what `kinema profile --json` prints. */
export interface ProfileReport {
  readonly model: string;
  readonly adapter: string;
  /** Input shape, channels last. */
  readonly input: readonly number[];
  readonly dtype: WeightType;
  /** Whether the weights are random ones, for want of a file. */
  readonly random: boolean;
  readonly clock: Profile["clock"];
  /** As in a profile: what timestamps count in, ms; steps that are too short for them were repeated. */
  readonly grainMs: number;
  readonly runs: number;
  /** Medians: a whole run as it is without a profiler, one step by step, with the repeats, and the sum of its steps, each once. */
  readonly ms: { readonly plain: number; readonly profiled: number; readonly steps: number };
  readonly ceilings: Ceilings;
  readonly steps: readonly ProfiledStep[];
  /** By kernel variant, the costliest first. */
  readonly variants: readonly ProfiledVariant[];
  readonly total: Measured;
}

export interface ProfileModelOptions extends ModelOptions, ProfileOptions {
  /** Default f32. */
  readonly dtype?: DType;
}

/** Profiles a model on random frames, with the weights of a checkpoint or, without one, random ones. */
export async function profileModel(
  gpu: Gpu,
  checkpoint: Checkpoint | null,
  options: ProfileModelOptions,
): Promise<ProfileReport> {
  const { signal } = options;
  runsOf(options);
  const { graph, weights } = prepared(checkpoint, options);
  const on = await withPrecision(gpu, options.dtype, signal);
  using session = await createSession(on, graph, weights, signal ? { signal } : {});
  const before = await measureCeilings(gpu, signal);
  const [name, input] = Object.entries(graph.inputs)[0]!;
  const profile = await session.profile({ [name]: uniform(name, elements(input.spec), 1) }, options);
  const after = await measureCeilings(gpu, signal);
  const ceilings = bestOf(before, after);
  return {
    model: graph.name,
    adapter: gpu.adapter,
    input: input.spec.shape,
    dtype: typeOf(on.caps.weights),
    random: checkpoint === null,
    ...reportOf(session, profile, ceilings),
  };
}

/** Every step of a profile against the ceilings, and their sums. */
export function reportOf(
  { plan }: Pick<Session, "plan">,
  profile: Profile,
  ceilings: Ceilings,
): Pick<ProfileReport, "clock" | "grainMs" | "runs" | "ms" | "ceilings" | "steps" | "variants" | "total"> {
  const whole = profile.steps.reduce((sum, { ms }) => sum + ms, 0);
  const counted = profile.steps.map((step, i) => ({
    ...step,
    loads: countLoads(plan.steps[i]!.dispatch, step.bytes),
    flops: flopsFor(plan.steps[i]!.dispatch, ceilings),
  }));
  const kernels = [...new Set(counted.map(({ kernel }) => kernel))];
  const variants = kernels.map((kernel): ProfiledVariant => {
    const its = counted.filter((step) => step.kernel === kernel);
    return { kernel, dispatches: its.length, ...measured(its, whole, ceilings) };
  });
  return {
    clock: profile.clock,
    grainMs: profile.grainMs,
    runs: profile.runs,
    ms: { ...profile.ms, steps: whole },
    ceilings,
    steps: counted.map((step) => {
      const { node, op, kernel, repeats } = step;
      return { node, op, kernel, repeats, ...measured([step], whole, ceilings) };
    }),
    variants: variants.sort((a, b) => b.ms - a.ms),
    total: measured(counted, whole, ceilings),
  };
}

type Counted = Pick<Measured, "ms" | "macs" | "bytes" | "loads"> & { readonly flops: number | null };

function measured(list: readonly Counted[], whole: number, ceilings: Ceilings): Measured {
  const sum = (key: "ms" | "macs" | "bytes" | "loads") => list.reduce((total, step) => total + step[key], 0);
  const [ms, macs, bytes, loads] = [sum("ms"), sum("macs"), sum("bytes"), sum("loads")];
  const work = { ms, share: whole > 0 ? ms / whole : 0, macs, bytes, loads };
  // Each step has its own nearest ceiling; together they take at least the sum of what those leave.
  const least = { fma: 0, load: 0, copy: 0 };
  let inTurns = 0;
  for (const step of list) {
    if (step.flops === null) return { ...work, bound: null, reached: null, loadAware: null };
    // What each ceiling alone leaves a step, s.
    const seconds = {
      fma: (2 * step.macs) / step.flops,
      load: step.loads / ceilings.loads,
      copy: step.bytes / ceilings.bytes,
    };
    const bound = longest(seconds);
    least[bound] += seconds[bound];
    inTurns += Math.max(seconds.fma + seconds.load, seconds.copy);
  }
  const share = (seconds: number) => (ms > 0 ? (1000 * seconds) / ms : 0);
  return {
    ...work,
    bound: longest(least),
    reached: share(least.fma + least.load + least.copy),
    loadAware: share(inTurns),
  };
}

const longest = (seconds: Readonly<Record<Bound, number>>): Bound =>
  (Object.keys(seconds) as Bound[]).reduce((a, b) => (seconds[b] > seconds[a] ? b : a));

interface Prepared {
  readonly graph: Graph;
  readonly weights: TensorSource;
}

/** The graph of a model at its usual size, and random weights. */
function withRandomWeights(options: ModelOptions): Prepared {
  const model = options.model ?? fail("usage", "nothing to profile; name a model or give its weights");
  const graph = buildModel(standardModel(model, options));
  return { graph, weights: randomWeights(graph) };
}

/** Random weights for whatever a graph wants. */
export function randomWeights(graph: Graph): TensorSource {
  const wanted = wantedTensors(graph);
  return { keys: () => wanted.keys(), get: (name) => randomTensor(name, wanted.get(name)!) };
}

/** The graph of a checkpoint with its weights, or of a model by name with random ones. */
export const prepared = (checkpoint: Checkpoint | null, options: ModelOptions): Prepared =>
  checkpoint ? openModel(checkpoint, options) : withRandomWeights(options);

/** ViT-B/16, and STAM-16 as it was released: six temporal layers of eight heads. */
const VIT = { width: 768, depth: 12, heads: 12, hidden: 3072, patch: 16, qkvBias: true, epsilon: 1e-6 } as const;
const NO_CLIP = { frames: null, temporalDepth: 0, temporalHeads: 8, temporalHidden: 0 } as const;
const CLIP = { temporalDepth: 6, temporalHeads: 8, temporalHidden: 2048 } as const;

/** A model as its authors trained it, for 400 classes (1000 of ImageNet), on 224 x 224 pixels. */
export function standardModel(model: ModelName, options: ModelOptions = {}): ModelDescription {
  const single = model === "mobilenetv2" || model === "vit" || model === "tsm-mobilenetv2-online";
  const latents = isLatentModel(model) ? standardLatents(model) : null;
  const frames = options.frames ?? (single ? 1 : latents ? framesPerRun(latents) : model === "stam" ? 16 : 8);
  const stam = { ...VIT, ...CLIP, frames: frames === 1 ? 16 : frames };
  return {
    model,
    frames,
    ...(options.clips ? { clips: options.clips } : {}),
    height: options.height ?? 224,
    width: options.width ?? 224,
    classes: latents ? null : single && model !== "tsm-mobilenetv2-online" ? 1000 : 400,
    shifted: new Set(standardShift(model)),
    shiftDivisor: 8,
    padding: options.padding ?? "symmetric",
    folded: false,
    latents,
    transformer: model === "stam" ? stam : model === "vit" ? { ...VIT, ...NO_CLIP } : null,
  };
}

/** Numbers that keep activations near 1: a time must not be that of infinities or denormals. */
function randomTensor(name: string, shape: readonly number[]): Float32Array {
  const count = product(shape);
  if (name.endsWith("running_var")) return new Float32Array(count).fill(1);
  const fanIn = product(shape.slice(1));
  return uniform(name, count, shape.length > 1 ? Math.sqrt(3 / fanIn) : 0.1);
}

/** Uniform in (-bound, bound), the same for the same name: a linear congruential generator (Numerical Recipes, 7.1). */
export function uniform(name: string, count: number, bound: number): Float32Array<ArrayBuffer> {
  let state = [...name].reduce((hash, letter) => Math.imul(hash, 31) + letter.charCodeAt(0), 1);
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state / 2 ** 31) * bound;
  });
}
