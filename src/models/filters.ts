// From the weights that PyTorch layers keep to the blocks that the convolutions here read. A layer that is a convolution in
// other words (two frames on its channels, an upsampling in front, a pixel shuffle behind) becomes one by moving its weights about.
import type { GraphBuilder, Value, WeightSource } from "../core/graph.ts";
import { product, quads } from "../core/tensor.ts";
import { phasesOf, type TransposedWindow, transposedLength } from "../ops/conv_transpose.ts";
import { type Axes, packedLength } from "../ops/matmul.ts";
import { zeroBias } from "./layers.ts";
import { packConv, packPhaseBias, packTransposed } from "./pack_filters.ts";

/** The filters of a convolution, and where in a checkpoint's tensor its weights stand. */
export interface Filters {
  readonly input: number;
  readonly out: number;
  /** The window of the convolution that is computed. */
  readonly kernel: Axes;
  /** Shape of the checkpoint's weight. */
  readonly shape: readonly number[];
  /** The checkpoint's weight, row-major -> [out, input, ...kernel]. */
  rearrange(weight: Float32Array): Float32Array;
}

/** The filters of a transposed convolution. */
export interface TransposedFilters {
  readonly input: number;
  readonly out: number;
  readonly window: TransposedWindow;
  /** Shape of the checkpoint's weight. */
  readonly shape: readonly number[];
  /** The checkpoint's weight, row-major -> [input, out, ...kernel]. */
  rearrange(weight: Float32Array): Float32Array;
  /** Length of the checkpoint's bias. */
  readonly biases: number;
  /** Which of them an output channel gets in a phase; phases in frame, row, column order. */
  biasOf(phase: number, channel: number): number;
}

const same = (weight: Float32Array): Float32Array => weight;

/** PyTorch's Conv3d, [out, input, ...kernel]; of a Conv2d without the axis of frames. */
export function conv(input: number, out: number, kernel: Axes | number): Filters {
  if (typeof kernel !== "number") return { input, out, kernel, shape: [out, input, ...kernel], rearrange: same };
  return { input, out, kernel: [1, kernel, kernel], shape: [out, input, kernel, kernel], rearrange: same };
}

/**
 * A Conv2d over [this frame ; the frame before], stacked on channels, as a window of two frames (the first convolution of a MemBlock):
 * [out, 2 * input, k, k] -> [out, input, 2, k, k]. It wants `padding.front` 1, and `past` in a stream.
 */
export function twoFrameConv(input: number, out: number, kernel: number): Filters {
  const plane = kernel * kernel;
  return {
    input,
    out,
    kernel: [2, kernel, kernel],
    shape: [out, 2 * input, kernel, kernel],
    rearrange(weight) {
      const taps = new Float32Array(weight.length);
      for (let o = 0; o < out; o++)
        for (let c = 0; c < input; c++) {
          const at = (o * 2 * input + c) * plane;
          const to = (o * input + c) * 2 * plane;
          taps.set(weight.subarray(at + input * plane, at + (input + 1) * plane), to);
          taps.set(weight.subarray(at, at + plane), to + plane);
        }
      return taps;
    },
  };
}

/**
 * A pixel unshuffle by `factor` and a k x k Conv2d, as one convolution of the picture: kernel k * factor, stride `factor`, each side's
 * padding times `factor`. [out, input * factor^2, k, k], channel c * factor^2 + row * factor + column, -> [out, input, k * factor, k * factor].
 */
export function unshuffledConv(input: number, out: number, kernel: number, factor: number): Filters {
  const size = kernel * factor;
  return {
    input,
    out,
    kernel: [1, size, size],
    shape: [out, input * factor * factor, kernel, kernel],
    rearrange(weight) {
      const taps = new Float32Array(weight.length);
      for (let i = 0; i < taps.length; i++) {
        const [x, y, filter] = [i % size, Math.floor(i / size) % size, Math.floor(i / (size * size))];
        const channel = filter * factor * factor + (y % factor) * factor + (x % factor);
        taps[i] = weight[(channel * kernel + Math.floor(y / factor)) * kernel + Math.floor(x / factor)]!;
      }
      return taps;
    },
  };
}

/** PyTorch's ConvTranspose3d, [input, out, ...kernel]. */
export function transposed(input: number, out: number, window: TransposedWindow): TransposedFilters {
  return {
    input,
    out,
    window,
    shape: [input, out, ...window.kernel],
    rearrange: same,
    biases: out,
    biasOf: (_phase, channel) => channel,
  };
}

/**
 * Nearest upsampling by `factor` and an odd k x k Conv2d with padding (k - 1) / 2, [out, input, k, k]: an input pixel reaches an
 * output through each tap that lands in its square, so a weight is a sum of taps. In f64, rounded once.
 */
export function upsampledConv(input: number, out: number, kernel: number, factor: number): TransposedFilters {
  const [size, half] = [kernel + factor - 1, (kernel - 1) / 2];
  return {
    input,
    out,
    window: { kernel: [1, size, size], stride: [1, factor, factor], padding: [0, half, half] },
    shape: [out, input, kernel, kernel],
    rearrange(weight) {
      const sums = new Float64Array(input * out * size * size);
      for (let o = 0; o < out; o++)
        for (let c = 0; c < input; c++)
          for (let tap = 0; tap < kernel * kernel; tap++) {
            const value = weight[(o * input + c) * kernel * kernel + tap]!;
            const [row, column] = [Math.floor(tap / kernel), tap % kernel];
            for (let u = 0; u < factor; u++)
              for (let v = 0; v < factor; v++) {
                const [y, x] = [u + kernel - 1 - row, v + kernel - 1 - column];
                sums[((c * out + o) * size + y) * size + x]! += value;
              }
          }
      return new Float32Array(sums);
    },
    biases: out,
    biasOf: (_phase, channel) => channel,
  };
}

/**
 * A Conv2d to out * factor^2 channels, odd k x k with padding (k - 1) / 2, and a pixel shuffle by `factor`: [out * factor^2, input, k, k], where
 * channel c * factor^2 + row * factor + column is channel c of that pixel of a square. Each phase keeps its own filters and bias.
 */
export function shuffledConv(input: number, out: number, kernel: number, factor: number): TransposedFilters {
  const [size, squares, half] = [kernel * factor, factor * factor, (kernel - 1) / 2];
  return {
    input,
    out,
    window: { kernel: [1, size, size], stride: [1, factor, factor], padding: [0, half * factor, half * factor] },
    shape: [out * squares, input, kernel, kernel],
    rearrange(weight) {
      const taps = new Float32Array(weight.length);
      for (let i = 0; i < taps.length; i++) {
        const [x, y, filter] = [i % size, Math.floor(i / size) % size, Math.floor(i / (size * size))];
        const [c, o] = [Math.floor(filter / out), filter % out];
        const channel = o * squares + (y % factor) * factor + (x % factor);
        // The later a tap of the convolution, the earlier the output that an input reaches through it.
        const [row, column] = [kernel - 1 - Math.floor(y / factor), kernel - 1 - Math.floor(x / factor)];
        taps[i] = weight[((channel * input + c) * kernel + row) * kernel + column]!;
      }
      return taps;
    },
    biases: out * squares,
    biasOf: (phase, channel) => channel * squares + phase,
  };
}

/** Names of a layer's tensors in the checkpoint; without a bias: zeros. */
export interface FilterNames {
  readonly weight: string;
  readonly bias?: string | undefined;
}

/** Weight and bias of conv2d or conv3d as graph values, named `name`.weight and `name`.bias. */
export function convFilters(g: GraphBuilder, name: string, f: Filters, from: FilterNames): { w: Value; bias: Value } {
  const w: WeightSource = {
    tensors: { [from.weight]: f.shape },
    length: packedLength(f.out, product(f.kernel) * quads(f.input)),
    pack: (get) => packConv(f.rearrange(get(from.weight)), f),
  };
  const bias = from.bias;
  return {
    w: g.weight(`${name}.weight`, w),
    bias: bias
      ? g.weight(`${name}.bias`, {
          tensors: { [bias]: [f.out] },
          length: quads(f.out) * 4,
          pack: (get) => {
            const packed = new Float32Array(quads(f.out) * 4);
            packed.set(get(bias));
            return packed;
          },
        })
      : zeroBias(g, `${name}.bias`, f.out),
  };
}

/** Weight and bias of convTranspose as graph values, named `name`.weight and `name`.bias. */
export function transposedFilters(
  g: GraphBuilder,
  name: string,
  f: TransposedFilters,
  from: FilterNames,
): { w: Value; bias: Value } {
  const w: WeightSource = {
    tensors: { [from.weight]: f.shape },
    length: transposedLength(f.window, f.input, f.out),
    pack: (get) => packTransposed(f.rearrange(get(from.weight)), f),
  };
  const length = phasesOf(f.window).count * quads(f.out) * 4;
  const bias = from.bias;
  return {
    w: g.weight(`${name}.weight`, w),
    bias: g.weight(
      `${name}.bias`,
      bias
        ? { tensors: { [bias]: [f.biases] }, length, pack: (get) => packPhaseBias(get(bias), f) }
        : { tensors: {}, length, pack: () => new Float32Array(length) },
    ),
  };
}
