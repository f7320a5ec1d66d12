// How weights are kept and multiplied on an adapter: asked for by the caller, chosen by measurement.
import { type BlockTimes, type Form, measureForms } from "./ceilings.ts";
import type { HalfForm, WeightForm, WeightType } from "./core/kept.ts";
import type { Gpu } from "./gpu/device.ts";
import type { SessionOptions } from "./session.ts";

/**
 * `f32`: all in f32. `f16`: matrix weights are kept as f16, in the form that this adapter multiplies fastest; sums stay f32.
 * `int8`: they are kept in signed bytes with an f32 scale for each output channel (see toInt8), a quarter of the memory, and multiplied in f32.
 * `auto`: `f16` where that is measured to be faster than f32, else `f32`. Matrix weights are those of linear layers and of all
 * convolutions but depthwise ones; whatever else a model has is f32 always.
 */
export type DType = "auto" | WeightType;

/** What a model's session may be told: as a session, and `auto`. */
export interface PrecisionOptions extends Omit<SessionOptions, "dtype"> {
  /** Default f32. */
  readonly dtype?: DType;
}

/** Weights and rows that a thread multiplies in registers, in fours: how often a load is used. */
const TILE = { cpu: { rows: 8, cols: 4 }, gpu: { rows: 8, cols: 2 } } as const;

/** How much faster f16 must be to be worth its roundings. */
const WORTH = 1.1;

/** What a measurement says: the fastest form of f16, and whether it is worth having. */
export interface Precision {
  readonly form: HalfForm;
  readonly worth: boolean;
}

/** Decides by the time of a tile's step: its rows and its blocks are loaded once, each block is multiplied once a row. */
export function decide(times: Readonly<Partial<Record<Form, BlockTimes>>>, kind: "cpu" | "gpu"): Precision {
  const { rows, cols } = TILE[kind];
  const row = (times.f32?.load ?? 0) / 4;
  const cost = (form: Form) => {
    const time = times[form];
    return time ? rows * row + cols * time.load + rows * cols * time.multiply : Number.POSITIVE_INFINITY;
  };
  // Of equals the first: what rounds least, and needs least.
  const forms: readonly HalfForm[] = ["native", "unpacked", "arithmetic"];
  const form = forms.reduce((best, other) => (cost(other) < cost(best) ? other : best));
  return { form, worth: cost(form) * WORTH <= cost("f32") };
}

/** By device. */
const decisions = new WeakMap<object, Promise<Precision>>();

/**
 * The GPU with weights kept as `dtype` asks for, f16 in the form that suits it. A device is measured once, the first time that
 * f16 or auto is asked for.
 */
export async function withPrecision(gpu: Gpu, dtype: DType = "f32", signal?: AbortSignal): Promise<Gpu> {
  const keeping = (weights: WeightForm): Gpu => ({ ...gpu, caps: { ...gpu.caps, weights } });
  if (dtype === "f32" || dtype === "int8") return keeping(dtype);
  // Measured for all who ask: a caller that gives up leaves it to the others.
  let decision = decisions.get(gpu.device);
  if (!decision) {
    decision = measureForms(gpu).then((times) => decide(times, gpu.caps.kind));
    decisions.set(gpu.device, decision);
    decision.catch(() => decisions.delete(gpu.device));
  }
  const { form, worth } = await unlessAborted(decision, signal);
  return keeping(dtype === "f16" || worth ? form : "f32");
}

/** What `work` gives, or the reason of the signal, if that comes first. */
async function unlessAborted<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  signal?.throwIfAborted();
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal?.reason);
    signal?.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}
