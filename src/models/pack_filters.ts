// From rearranged weights to the 4x4 blocks in the order in which the kernels read them.
import { product, quads } from "../core/tensor.ts";
import { phasesOf, transposedLength } from "../ops/conv_transpose.ts";
import { type Axes, packedLength } from "../ops/matmul.ts";
import type { Filters, TransposedFilters } from "./filters.ts";

/** [out, input, taps] -> 4x4 blocks [out/4, taps, input/4]; a block's column is one input channel. Missing channels are zeros. */
export function packConv(
  weight: Float32Array,
  { input, out, kernel }: Pick<Filters, "input" | "out" | "kernel">,
): Float32Array<ArrayBuffer> {
  const taps = product(kernel);
  const packed = new Float32Array(packedLength(out, taps * quads(input)));
  for (let o = 0; o < out; o++)
    for (let c = 0; c < input; c++)
      for (let t = 0; t < taps; t++) {
        const block = ((o >> 2) * taps + t) * quads(input) + (c >> 2);
        packed[block * 16 + (c & 3) * 4 + (o & 3)] = weight[(o * input + c) * taps + t]!;
      }
  return packed;
}

/** [input, out, ...kernel] -> 4x4 blocks [phases, out/4, taps, input/4]: each phase's taps, zeros beyond the kernel's ends. */
export function packTransposed(
  weight: Float32Array,
  { input, out, window }: Pick<TransposedFilters, "input" | "out" | "window">,
): Float32Array<ArrayBuffer> {
  const { kernel, stride, padding } = window;
  const { count, taps, first } = phasesOf(window);
  const packed = new Float32Array(transposedLength(window, input, out));
  const phaseLength = packed.length / count;
  for (let phase = 0; phase < count; phase++) {
    const inner = unravel(phase, stride);
    const filter = new Float32Array(out * input * product(taps));
    for (let tap = 0; tap < product(taps); tap++) {
      const at = unravel(tap, taps);
      const place = ([0, 1, 2] as const).map((a) => inner[a] + padding[a] - stride[a] * (first(a, inner[a]) + at[a]));
      if (place.some((p, a) => p < 0 || p >= kernel[a]!)) continue;
      const from = (place[0]! * kernel[1] + place[1]!) * kernel[2] + place[2]!;
      for (let o = 0; o < out; o++)
        for (let c = 0; c < input; c++)
          filter[(o * input + c) * product(taps) + tap] = weight[(c * out + o) * product(kernel) + from]!;
    }
    packed.set(packConv(filter, { input, out, kernel: taps }), phase * phaseLength);
  }
  return packed;
}

/** A checkpoint's bias -> [phases, out], channels padded to fours. */
export function packPhaseBias(
  bias: Float32Array,
  { out, window, biasOf }: TransposedFilters,
): Float32Array<ArrayBuffer> {
  const { count } = phasesOf(window);
  const packed = new Float32Array(count * quads(out) * 4);
  for (let phase = 0; phase < count; phase++)
    for (let o = 0; o < out; o++) packed[phase * quads(out) * 4 + o] = bias[biasOf(phase, o)]!;
  return packed;
}

/** Position of a flat index. */
function unravel(index: number, [, height, width]: Axes): Axes {
  return [Math.floor(index / (height * width)), Math.floor(index / width) % height, index % width];
}
