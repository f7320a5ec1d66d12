// Two layers of TAEHV in one: a 1x1 without bias and the 3x3 without bias beside it are one 3x3, with the products of their weights.
import type { GraphBuilder, Value } from "../core/graph.ts";
import { quads } from "../core/tensor.ts";
import { type TransposedWindow, transposedLength } from "../ops/conv_transpose.ts";
import { packedLength } from "../ops/matmul.ts";
import { upsampledConv } from "./filters.ts";
import { zeroBias } from "./layers.ts";
import { packConv, packTransposed } from "./pack_filters.ts";

const TAPS = 9;

/**
 * first, then second: out[o, c, tap] = sum over m of second[o, m, tap] * first[m, c], in f64. `second` is [out, middle, 3, 3], and of `first`
 * every column [middle] of an input channel is what `columnOf` reads.
 */
function product(
  second: Float32Array,
  out: number,
  middle: number,
  input: number,
  first: (m: number, c: number) => number,
): Float32Array<ArrayBuffer> {
  const result = new Float32Array(out * input * TAPS);
  const sums = new Float64Array(input * TAPS);
  for (let o = 0; o < out; o++) {
    sums.fill(0);
    for (let m = 0; m < middle; m++)
      for (let c = 0; c < input; c++) {
        const weight = first(m, c);
        for (let tap = 0; tap < TAPS; tap++) sums[c * TAPS + tap]! += second[(o * middle + m) * TAPS + tap]! * weight;
      }
    result.set(sums, o * input * TAPS);
  }
  return result;
}

/**
 * TPool and a strided 3x3: `frames` frames, stacked on channels with the earlier first, [width, frames * width, 1, 1], then
 * [width, width, 3, 3]. Together a window of `frames` frames.
 */
export function fusedPool(
  g: GraphBuilder,
  name: string,
  width: number,
  frames: number,
  from: { readonly pool: string; readonly conv: string },
): { w: Value; bias: Value } {
  const shape = { input: width, out: width, kernel: [frames, 3, 3] } as const;
  const w = g.weight(`${name}.weight`, {
    tensors: { [from.pool]: [width, frames * width, 1, 1], [from.conv]: [width, width, 3, 3] },
    length: packedLength(width, frames * TAPS * quads(width)),
    pack(get) {
      const [pool, conv] = [get(from.pool), get(from.conv)];
      const filters = new Float32Array(width * width * frames * TAPS);
      for (let frame = 0; frame < frames; frame++) {
        const one = product(conv, width, width, width, (m, c) => pool[(m * frames + frame) * width + c]!);
        for (let row = 0; row < width * width; row++)
          filters.set(one.subarray(row * TAPS, row * TAPS + TAPS), (row * frames + frame) * TAPS);
      }
      return packConv(filters, shape);
    },
  });
  return { w, bias: zeroBias(g, `${name}.bias`, width) };
}

/**
 * Nearest x2 and a 3x3 [out, input, 3, 3] as a transposed convolution. With `frames`, TGrow stands in between: a 1x1 [frames * input, input, 1, 1] whose
 * first channels are the earlier frame. It commutes with the upsampling, and the frames are phases as the pixels are.
 */
export function fusedGrow(
  g: GraphBuilder,
  name: string,
  input: number,
  out: number,
  frames: number,
  from: { readonly grow: string | null; readonly conv: string },
): { w: Value; bias: Value; window: TransposedWindow } {
  const plane = upsampledConv(input, out, 3, 2);
  const [, tall, wide] = plane.window.kernel;
  const count = Math.max(1, frames);
  const window: TransposedWindow = { ...plane.window, kernel: [count, tall, wide], stride: [count, 2, 2] };
  const { grow } = from;
  const w = g.weight(`${name}.weight`, {
    tensors: {
      [from.conv]: [out, input, 3, 3],
      ...(grow ? { [grow]: [count * input, input, 1, 1] } : {}),
    },
    length: transposedLength(window, input, out),
    pack(get) {
      const conv = get(from.conv);
      const filters = new Float32Array(input * out * count * tall * wide);
      for (let frame = 0; frame < count; frame++) {
        const grown = grow ? get(grow) : null;
        const own = grown ? product(conv, out, input, input, (m, c) => grown[(frame * input + m) * input + c]!) : conv;
        const sums = plane.rearrange(own);
        for (let row = 0; row < input * out; row++)
          filters.set(sums.subarray(row * tall * wide, (row + 1) * tall * wide), (row * count + frame) * tall * wide);
      }
      return packTransposed(filters, { input, out, window });
    },
  });
  const biases = count * 4 * quads(out) * 4;
  const bias = g.weight(`${name}.bias`, { tensors: {}, length: biases, pack: () => new Float32Array(biases) });
  return { w, bias, window };
}
