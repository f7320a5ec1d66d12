// How the weights of the matmul family are kept on the GPU.
import { toHalf } from "./half.ts";
import { toInt8 } from "./int8.ts";

/**
 * `native`: f16 in memory, multiplied and summed in f32. `unpacked`: the same, as pairs in words, which needs no feature.
 * `arithmetic`: multiplied in f16, a few products are summed in f16, and their sums in f32; needs `f16`.
 */
export type HalfForm = "native" | "unpacked" | "arithmetic";

/** How weights are kept and multiplied. `int8`: a byte each and a scale for each output channel, multiplied and summed in f32. */
export type WeightForm = "f32" | HalfForm | "int8";

/** What a weight takes in memory; f16 has several forms. */
export type WeightType = "f32" | "f16" | "int8";

export const typeOf = (form: WeightForm = "f32"): WeightType => (form === "f32" || form === "int8" ? form : "f16");

/**
 * The form of that type where `measured` was found to be the fastest of f16, or is what a device's capabilities name; without a type, that
 * form. f16 that was not measured is kept in words, which needs nothing of a device: that it has f16 does not say that it is fast with it.
 */
export function formOf(type: WeightType | undefined, measured: WeightForm = "f32"): WeightForm {
  if (type !== "f16") return type ?? measured;
  return measured === "f32" || measured === "int8" ? "unpacked" : measured;
}

/** A matrix of 4x4 blocks that is not kept as f32: its form, and how many blocks there are for the same 4 output channels. */
export interface Kept {
  readonly form: Exclude<WeightForm, "f32">;
  readonly blocks: number;
}

/** Bytes of a weight that takes `bytes` as f32, which it is where nothing else is said. */
export function keptBytes(bytes: number, kept?: Kept): number {
  if (!kept) return bytes;
  return kept.form === "int8" ? (bytes / 4 / kept.blocks) * (1 + kept.blocks) : bytes / 2;
}

/** A weight's numbers as they are kept. @throws "not-finite" for NaN and infinity in int8 */
export function keep(
  name: string,
  data: Float32Array<ArrayBuffer>,
  kept?: Kept,
): Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Int8Array<ArrayBuffer> {
  if (!kept) return data;
  return kept.form === "int8" ? toInt8(name, data, kept.blocks) : toHalf(data);
}
