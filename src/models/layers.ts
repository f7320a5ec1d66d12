import type { GraphBuilder, Value, WeightSource } from "../core/graph.ts";
import { channels, product, quads } from "../core/tensor.ts";
import { type BlockRange, blockRanges, type ConvAttrs, conv2d, type Shift } from "../ops/conv2d.ts";
import { packedLength } from "../ops/matmul.ts";

/** Batch norm's epsilon in every model here (PyTorch's default). */
const EPSILON = 1e-5;

export interface UnitShape {
  readonly out: number;
  /** Input channels a filter sees: 1 for depthwise. */
  readonly input: number;
  readonly kernel: number;
  /** Extra axes of size 1 in the checkpoint: [out, in, 1, 1, 1] for the 3-D convolutions of a non-local block. */
  readonly volume?: boolean;
  readonly batchNorm: boolean;
  readonly bias: boolean;
  /** A linear layer's weight is [out, in]. */
  readonly linear?: boolean;
  /** The temporal shift in front of it, which decides the order of its blocks. */
  readonly shift?: Shift | undefined;
}

type Get = (name: string) => Float32Array;

/** Checkpoint tensors of a unit and which of them are statistics. */
function unitTensors(unit: string, s: UnitShape): { tensors: Record<string, readonly number[]>; statistics: string[] } {
  const tail = s.linear ? [] : s.volume ? [s.kernel, s.kernel, s.kernel] : [s.kernel, s.kernel];
  const tensors: Record<string, readonly number[]> = { [`${unit}.weight`]: [s.out, s.input, ...tail] };
  if (s.bias) tensors[`${unit}.bias`] = [s.out];
  const norm = s.batchNorm ? ["weight", "bias", "running_mean", "running_var"] : [];
  for (const part of norm) tensors[`${unit}.bn.${part}`] = [s.out];
  return { tensors, statistics: s.batchNorm ? [`${unit}.bn.running_mean`, `${unit}.bn.running_var`] : [] };
}

/**
 * Scale and shift that batch norm amounts to, in f64: w' = w * scale, b' = (b - mean) * scale + beta.
 * In f64 because running_var can be a denormal (5.6e-45 in the Jester checkpoint), where only epsilon remains.
 */
function fold(get: Get, unit: string, s: UnitShape): { scale: Float64Array; bias: Float64Array } {
  const scale = new Float64Array(s.out).fill(1);
  const bias = new Float64Array(s.out);
  if (s.bias) bias.set(get(`${unit}.bias`));
  if (!s.batchNorm) return { scale, bias };
  const [gamma, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map((part) =>
    get(`${unit}.bn.${part}`),
  ) as [Float32Array, Float32Array, Float32Array, Float32Array];
  for (let o = 0; o < s.out; o++) {
    scale[o] = gamma[o]! / Math.sqrt(variance[o]! + EPSILON);
    bias[o] = (bias[o]! - mean[o]!) * scale[o]! + beta[o]!;
  }
  return { scale, bias };
}

/** Weight and bias of a unit as graph values, batch norm folded in. `depthwise` packs [taps, channels]; else 4x4 blocks [out/4, taps, in/4]. */
export function unit(g: GraphBuilder, name: string, s: UnitShape, depthwise = false): { w: Value; bias: Value } {
  const described = unitTensors(name, s);
  const taps = s.volume ? 1 : s.kernel * s.kernel;
  const blocks = depthwise ? [] : blockRanges(s.input, taps, s.shift);
  const w: WeightSource = {
    ...described,
    length: depthwise ? taps * quads(s.out) * 4 : packedLength(s.out, blocks.length),
    pack: (get) => {
      const { scale } = fold(get, name, s);
      const weight = get(`${name}.weight`);
      return depthwise ? packDepthwise(weight, scale, s, taps) : packBlocks(weight, scale, s, taps, blocks);
    },
  };
  const { [`${name}.weight`]: _, ...small } = described.tensors;
  const bias: WeightSource = {
    ...described,
    tensors: small, // the weight, which is large, is read for itself alone
    length: quads(s.out) * 4,
    pack: (get) => {
      const packed = new Float32Array(quads(s.out) * 4);
      packed.set(fold(get, name, s).bias);
      return packed;
    },
  };
  return { w: g.weight(`${name}.weight`, w), bias: g.weight(`${name}.bias`, bias) };
}

/** A convolution unit: its weights, and the node that applies them. */
export function convolution(
  g: GraphBuilder,
  name: string,
  x: Value,
  attrs: ConvAttrs,
  folded: boolean,
  more: {
    readonly residual?: Value | undefined;
    readonly past?: Value | undefined;
    readonly carry?: Value | undefined;
  },
): Value {
  const { out, kernel, shift } = attrs;
  const weights = unit(g, name, { out, input: channels(x.spec), kernel, shift, batchNorm: !folded, bias: folded });
  return g.apply(conv2d, name, { x, ...weights, ...more }, attrs).y!;
}

/** [out, in, taps] -> 4x4 blocks [out/4, blocks]; a block's column is one input channel. Missing channels are zeros. */
function packBlocks(
  w: Float32Array,
  scale: Float64Array,
  s: UnitShape,
  taps: number,
  blocks: readonly BlockRange[],
): Float32Array<ArrayBuffer> {
  const packed = new Float32Array(packedLength(s.out, blocks.length));
  for (let o = 0; o < s.out; o++) {
    for (const [i, { tap, four, from, to }] of blocks.entries()) {
      const base = ((o >> 2) * blocks.length + i) * 16 + (o & 3);
      for (let k = Math.max(from, 4 * four); k < Math.min(to, 4 * four + 4); k++) {
        packed[base + (k & 3) * 4] = w[(o * s.input + k) * taps + tap]! * scale[o]!;
      }
    }
  }
  return packed;
}

/** [channels, 1, taps] -> [taps, channels]. */
function packDepthwise(w: Float32Array, scale: Float64Array, s: UnitShape, taps: number): Float32Array<ArrayBuffer> {
  const stride = quads(s.out) * 4;
  const packed = new Float32Array(taps * stride);
  for (let c = 0; c < s.out; c++) for (let t = 0; t < taps; t++) packed[t * stride + c] = w[c * taps + t]! * scale[c]!;
  return packed;
}

/** A linear layer: which rows of which tensors of the checkpoint. */
export interface LinearShape {
  /** Name of the tensor [outputs, input]. */
  readonly weight: string;
  /** Name of the tensor [outputs]; null: zeros. */
  readonly bias: string | null;
  readonly outputs: number;
  readonly input: number;
  /** The rows that are used, [from, to); all by default. */
  readonly rows?: readonly [from: number, to: number];
  /** The result has `width` channels: the layer's from `at` on, and zeros. Default: the layer's alone. */
  readonly within?: { readonly at: number; readonly width: number };
}

/** Weight and bias of a linear layer as graph values, 4x4 blocks [out/4, in/4]. */
export function linear(g: GraphBuilder, name: string, s: LinearShape): { w: Value; bias: Value } {
  const [from, to] = s.rows ?? [0, s.outputs];
  const { at, width: out } = s.within ?? { at: 0, width: to - from };
  const shape = { out, input: s.input, kernel: 1, batchNorm: false, bias: false };
  const blocks = blockRanges(s.input, 1, undefined);
  const w: WeightSource = {
    tensors: { [s.weight]: [s.outputs, s.input] },
    length: packedLength(out, blocks.length),
    pack: (get) => {
      const rows = get(s.weight).subarray(from * s.input, to * s.input);
      const weight = s.within ? new Float32Array(out * s.input) : rows;
      if (s.within) weight.set(rows, at * s.input);
      return packBlocks(weight, new Float64Array(out).fill(1), shape, 1, blocks);
    },
  };
  const { bias: tensor } = s;
  if (!tensor) return { w: g.weight(`${name}.weight`, w), bias: zeroBias(g, `${name}.bias`, out) };
  const bias: WeightSource = {
    tensors: { [tensor]: [s.outputs] },
    length: quads(out) * 4,
    pack: (get) => {
      const packed = new Float32Array(quads(out) * 4);
      packed.set(get(tensor).subarray(from, to), at);
      return packed;
    },
  };
  return { w: g.weight(`${name}.weight`, w), bias: g.weight(`${name}.bias`, bias) };
}

/** A tensor of the checkpoint as rows of its last extent, padded to fours. */
export function vector(g: GraphBuilder, name: string, tensorName: string, shape: readonly number[]): Value {
  const width = shape.at(-1)!;
  const stride = quads(width) * 4;
  const count = product(shape.slice(0, -1));
  return g.weight(name, {
    tensors: { [tensorName]: shape },
    length: count * stride,
    pack: (get) => {
      const data = get(tensorName);
      const packed = new Float32Array(count * stride);
      for (let row = 0; row < count; row++) packed.set(data.subarray(row * width, (row + 1) * width), row * stride);
      return packed;
    },
  });
}

/** A bias of zeros, for products that have none. */
export function zeroBias(g: GraphBuilder, name: string, out: number): Value {
  return g.weight(name, { tensors: {}, length: quads(out) * 4, pack: () => new Float32Array(quads(out) * 4) });
}
