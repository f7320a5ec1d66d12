// Packed weights, read back block by block as the kernel reads them, against the layers as they are defined. In whole numbers, so
// that every sum is exact and every answer equal.
import { describe, expect, it } from "vitest";
import { quads, tensor } from "../src/core/tensor.ts";
import * as filters from "../src/models/filters.ts";
import { packConv, packPhaseBias, packTransposed } from "../src/models/pack_filters.ts";
import { convTranspose, LINEAR, pad } from "../src/ops/index.ts";
import { grownFrames, pooledFrames } from "./cases/frame_filters.ts";
import { Random } from "./cases/random.ts";
import {
  asSums,
  channelsToFrames,
  convolve,
  convolve3d,
  convolveTransposed,
  framesToChannels,
  pixelShuffle,
  pixelUnshuffle,
  type Shape4,
  type Sums,
  upsampleNearest,
} from "./cases/reference.ts";

const random = new Random(3);
const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
/** Whole numbers from -9 to 9. */
const whole = (...shape: number[]) => new Float32Array(product(shape)).map(() => random.below(19) - 9);
const clipOf = ({ shape, want }: Sums) => ({ shape, data: want });
const zeros = (length: number) => new Float32Array(length);

type Axes = readonly [number, number, number];

/** Weight of an output and an input channel in a tap: rows of `out4` panels of `blocks` 4x4 blocks, a column per input channel. */
function weightAt(packed: Float32Array, input: number, out: number, taps: number, phase = 0) {
  const blocks = taps * quads(input);
  return (o: number, c: number, tap: number) => {
    const block = (phase * quads(out) + Math.floor(o / 4)) * blocks + tap * quads(input) + Math.floor(c / 4);
    return packed[block * 16 + (c % 4) * 4 + (o % 4)]!;
  };
}

/** Every lane that pads channels to four holds a zero. */
function padded(packed: Float32Array, input: number, out: number, taps: number, phases = 1): boolean {
  let clean = packed.length === phases * quads(out) * taps * quads(input) * 16;
  for (let phase = 0; phase < phases; phase++) {
    const at = weightAt(packed, input, out, taps, phase);
    for (let o = 0; o < 4 * quads(out); o++)
      for (let c = 0; c < 4 * quads(input); c++)
        for (let t = 0; t < taps; t++) if (o >= out || c >= input) clean &&= at(o, c, t) === 0;
  }
  return clean;
}

/** [out, input, ...kernel] out of packed blocks. */
function unpacked(packed: Float32Array, { input, out, kernel }: filters.Filters): Float32Array {
  const taps = product(kernel);
  const at = weightAt(packed, input, out, taps);
  return Float32Array.from({ length: out * input * taps }, (_, i) =>
    at(Math.floor(i / taps / input), Math.floor(i / taps) % input, i % taps),
  );
}

describe("filters of a convolution", () => {
  const stride1: Axes = [1, 1, 1];
  it.each<[string, filters.Filters, Shape4, Axes, Axes, Axes, (x: Sums, w: Float32Array) => Sums]>([
    [
      "of a Conv3d",
      filters.conv(5, 6, [2, 3, 4]),
      [3, 5, 6, 5],
      [1, 2, 1],
      [1, 0, 2],
      [0, 1, 1],
      (x, w) => {
        const window = { kernel: [2, 3, 4], stride: [1, 2, 1], before: [1, 0, 2], after: [0, 1, 1] } as const;
        return convolve3d(clipOf(x), w, zeros(6), 6, window);
      },
    ],
    [
      "of a Conv2d over this frame and the one before",
      filters.twoFrameConv(5, 7, 3),
      [3, 4, 3, 5],
      stride1,
      [1, 1, 1],
      [0, 1, 1],
      (x, w) => {
        const frame = 4 * 3 * 5;
        const past = Float64Array.from(x.want, (_, i) => (i < frame ? 0 : x.want[i - frame]!));
        const data = Array.from({ length: 3 * 4 * 3 }, (_, p) => [
          ...x.want.subarray(p * 5, p * 5 + 5),
          ...past.subarray(p * 5, p * 5 + 5),
        ]).flat();
        return convolve({ shape: [3, 4, 3, 10], data }, w, zeros(7), 7, { kernel: 3, stride: 1, padding: pad(1) });
      },
    ],
    [
      "of a 1x1 over frames stacked on channels",
      pooledFrames(6, 5, 3),
      [6, 2, 3, 6],
      [3, 1, 1],
      [0, 0, 0],
      [0, 0, 0],
      (x, w) => {
        const window = { kernel: 1, stride: 1, padding: pad(0) };
        return convolve(clipOf(framesToChannels(x, 3)), w, zeros(5), 5, window);
      },
    ],
    [
      "of a Conv2d behind a pixel unshuffle",
      filters.unshuffledConv(3, 6, 3, 2),
      [2, 6, 4, 3],
      [1, 2, 2],
      [0, 2, 2],
      [0, 2, 2],
      (x, w) => {
        const window = { kernel: 3, stride: 1, padding: pad(1) };
        return convolve(clipOf(pixelUnshuffle(x, 2)), w, zeros(6), 6, window);
      },
    ],
  ])("%s", (_name, f, shape, stride, before, after, define) => {
    const weight = whole(...f.shape);
    const x = asSums({ shape, data: whole(...shape) });
    const packed = packConv(f.rearrange(weight), f);
    expect(padded(packed, f.input, f.out, product(f.kernel))).toBe(true);
    const window = { kernel: f.kernel, stride, before, after };
    const got = convolve3d(clipOf(x), unpacked(packed, f), zeros(f.out), f.out, window);
    const want = define(x, weight);
    expect(want.want.some((v) => v !== 0)).toBe(true);
    expect(got.shape).toEqual(want.shape);
    expect(got.want).toEqual(want.want);
  });
});

/** A transposed convolution phase by phase, out of its packed blocks: the formula in the head of kernels/matmul.wgsl. */
function inPhases(x: Sums, packed: Float32Array, bias: Float32Array, f: filters.TransposedFilters): Sums {
  const { kernel, stride, padding } = f.window;
  const axes = [0, 1, 2] as const;
  const taps = axes.map((a) => Math.ceil(kernel[a] / stride[a]));
  const extents = axes.map((a) => x.shape[a] * stride[a]);
  const shape: Shape4 = [extents[0]!, extents[1]!, extents[2]!, f.out];
  const want = new Float64Array(product(shape));
  const reads = axes.map((a) => (position: number, tap: number) => {
    const phase = position % stride[a];
    const first = Math.ceil((phase + padding[a] - kernel[a] + 1) / stride[a]);
    return Math.floor(position / stride[a]) + first + tap;
  });
  for (let i = 0; i < want.length; i++) {
    const rest = Math.floor(i / f.out);
    const at = [Math.floor(rest / shape[2] / shape[1]), Math.floor(rest / shape[2]) % shape[1], rest % shape[2]];
    const inner = axes.map((a) => at[a]! % stride[a]);
    const phase = (inner[0]! * stride[1] + inner[1]!) * stride[2] + inner[2]!;
    const weight = weightAt(packed, f.input, f.out, product(taps), phase);
    want[i] = bias[phase * quads(f.out) * 4 + (i % f.out)]!;
    for (let tap = 0; tap < product(taps); tap++) {
      const place = [Math.floor(tap / taps[2]! / taps[1]!), Math.floor(tap / taps[2]!) % taps[1]!, tap % taps[2]!];
      const from = axes.map((a) => reads[a]!(at[a]!, place[a]!));
      if (from.some((p, a) => p < 0 || p >= x.shape[a]!)) continue;
      const pixel = ((from[0]! * x.shape[1] + from[1]!) * x.shape[2] + from[2]!) * f.input;
      for (let c = 0; c < f.input; c++) want[i]! += x.want[pixel + c]! * weight(i % f.out, c, tap);
    }
  }
  return { shape, want, magnitude: want };
}

describe("filters of a transposed convolution", () => {
  const same = { kernel: 3, stride: 1, padding: pad(1) };
  const shuffled = filters.shuffledConv(5, 3, 3, 2);
  const grown = grownFrames(6, 5, 3);
  const windows = [
    { kernel: [1, 4, 4], stride: [1, 2, 2], padding: [0, 1, 1] },
    { kernel: [2, 1, 1], stride: [2, 1, 1], padding: [0, 0, 0] },
    { kernel: [3, 5, 2], stride: [2, 3, 1], padding: [2, 1, 1] },
  ] as const;
  it.each<[string, filters.TransposedFilters, (x: Sums, w: Float32Array, bias: Float32Array) => Sums]>([
    ...windows.map(
      (window): [string, filters.TransposedFilters, (x: Sums, w: Float32Array, b: Float32Array) => Sums] => [
        `of a ConvTranspose3d ${window.kernel.join("x")}`,
        filters.transposed(5, 6, window),
        (x, w, bias) => convolveTransposed(clipOf(x), w, bias, 6, window),
      ],
    ),
    [
      "of a Conv2d behind nearest upsampling",
      filters.upsampledConv(5, 6, 3, 2),
      (x, w, bias) => convolve(clipOf(upsampleNearest(x, 2)), w, bias, 6, same),
    ],
    [
      "of a 5x5 behind upsampling by three",
      filters.upsampledConv(2, 3, 5, 3),
      (x, w, bias) => convolve(clipOf(upsampleNearest(x, 3)), w, bias, 3, { kernel: 5, stride: 1, padding: pad(2) }),
    ],
    [
      "of a Conv2d and a pixel shuffle",
      shuffled,
      (x, w, bias) => pixelShuffle(convolve(clipOf(x), w, bias, 12, same), 2),
    ],
    [
      "of a 1x1 whose channels become frames",
      grown,
      (x, w, bias) => channelsToFrames(convolve(clipOf(x), w, bias, 15, { kernel: 1, stride: 1, padding: pad(0) }), 3),
    ],
  ])("%s", (_name, f, define) => {
    const [weight, bias] = [whole(...f.shape), whole(f.biases)];
    const shape: Shape4 = [2, 3, 4, f.input];
    const x = asSums({ shape, data: whole(...shape) });
    const packed = packTransposed(f.rearrange(weight), f);
    const taps = product(f.window.kernel.map((k, a) => Math.ceil(k / f.window.stride[a]!)));
    expect(padded(packed, f.input, f.out, taps, product(f.window.stride))).toBe(true);
    const got = inPhases(x, packed, packPhaseBias(bias, f), f);
    const want = define(x, weight, bias);
    expect(got.shape).toEqual(want.shape);
    expect(got.want).toEqual(want.want);
  });

  it("of nearest upsampling take 4/9 of the multiplications", () => {
    const { input, out, window } = filters.upsampledConv(8, 6, 3, 2);
    const shapes = [{ x: tensor(2, 5, 7, input) }, { y: tensor(2, 10, 14, out) }] as const;
    const macs = convTranspose.macs!(...shapes, { out, ...window, activation: LINEAR });
    expect(macs / (2 * 10 * 14 * 9 * input * out)).toBeCloseTo(4 / 9, 12);
  });
});
