import { tensor } from "../../src/core/tensor.ts";
import {
  shuffledConv,
  type TransposedFilters,
  transposed,
  transposedFilters,
  upsampledConv,
} from "../../src/models/filters.ts";
import { convTranspose, LINEAR, pad, RELU } from "../../src/ops/index.ts";
import { linear } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";
import { grownFrames } from "./frame_filters.ts";
import {
  asSums,
  channelsToFrames,
  convolve,
  convolveTransposed,
  pixelShuffle,
  type Shape4,
  type Sums,
  upsampleNearest,
} from "./reference.ts";

type Axes = readonly [number, number, number];

interface Layer {
  readonly title: string;
  readonly x: Shape4;
  readonly filters: TransposedFilters;
  readonly relu?: boolean;
  /** Terms of a sum, at most. */
  readonly terms: number;
  readonly bench?: boolean;
  /** From the clip, the checkpoint's weight and bias: the layer as it is defined, not its phases. */
  define(x: Sums, w: ArrayLike<number>, bias: ArrayLike<number>): Sums;
}

const make = ({ title, x, filters, relu = false, terms, bench = false, define }: Layer): OpCase =>
  opCase({
    op: "convTranspose",
    title: `${title} [${x.join(", ")}] -> ${filters.out}${relu ? " relu" : ""}`,
    bench,
    weights: { w: filters.shape, b: [filters.biases] },
    coarse: true,
    build(g) {
      const inputs = {
        x: g.input("x", tensor(...x)),
        ...transposedFilters(g, "u", filters, { weight: "w", bias: "b" }),
      };
      const attrs = { out: filters.out, ...filters.window, activation: relu ? RELU : LINEAR };
      g.output("y", g.apply(convTranspose, "up", inputs, attrs).y!);
    },
    feeds: (random) => ({ x: random.normal(...x) }),
    expected(feeds, weights) {
      const sums = define(asSums({ shape: x, data: feeds.x! }), weights.get("w")!, weights.get("b")!);
      return { y: linear(sums.shape, sums.want, sums.magnitude, terms, relu ? RELU : undefined) };
    },
  });

const clip = (sums: Sums) => ({ shape: sums.shape, data: sums.want });
const same = (kernel: number) => ({ kernel, stride: 1, padding: pad((kernel - 1) / 2) });

function transposedLayer(x: Shape4, out: number, kernel: Axes, stride: Axes, padding: Axes, relu = false): Layer {
  const window = { kernel, stride, padding };
  return {
    title: `${kernel.join("x")} s ${stride.join(",")} cut ${padding.join(",")}`,
    x,
    filters: transposed(x[3], out, window),
    relu,
    terms: kernel[0] * kernel[1] * kernel[2] * x[3],
    define: (clipOf, w, bias) => convolveTransposed(clip(clipOf), w, bias, out, window),
  };
}

function upsampledLayer(x: Shape4, out: number, kernel: number, factor: number, relu = false): Layer {
  return {
    title: `${kernel}x${kernel} behind nearest x${factor}`,
    x,
    filters: upsampledConv(x[3], out, kernel, factor),
    relu,
    terms: kernel * kernel * x[3],
    define: (from, w, bias) => convolve(clip(upsampleNearest(from, factor)), w, bias, out, same(kernel)),
  };
}

function shuffledLayer(x: Shape4, out: number, factor: number): Layer {
  return {
    title: `3x3 and a pixel shuffle by ${factor}`,
    x,
    filters: shuffledConv(x[3], out, 3, factor),
    relu: true,
    terms: 9 * x[3],
    define: (from, w, bias) => pixelShuffle(convolve(clip(from), w, bias, out * factor ** 2, same(3)), factor),
  };
}

function grownLayer(x: Shape4, out: number, frames: number): Layer {
  return {
    title: `1x1 to ${frames} frames`,
    x,
    filters: grownFrames(x[3], out, frames),
    terms: x[3],
    define: (from, w, bias) => channelsToFrames(convolve(clip(from), w, bias, out * frames, same(1)), frames),
  };
}

const LAYERS: readonly Layer[] = [
  transposedLayer([2, 3, 5, 6], 9, [1, 4, 4], [1, 2, 2], [0, 1, 1]),
  transposedLayer([1, 3, 4, 7], 18, [1, 4, 4], [1, 2, 2], [0, 1, 1], true),
  transposedLayer([3, 2, 5, 9], 7, [2, 1, 1], [2, 1, 1], [0, 0, 0]),
  transposedLayer([2, 3, 4, 5], 6, [1, 3, 3], [1, 2, 2], [0, 1, 1]), // phases of one tap and of two
  transposedLayer([3, 4, 2, 5], 6, [3, 5, 2], [2, 3, 1], [0, 1, 1]), // every axis another
  transposedLayer([2, 3, 4, 5], 6, [1, 2, 2], [1, 3, 3], [0, 0, 0]), // outputs that no input reaches
  transposedLayer([1, 1, 3, 5], 6, [1, 4, 4], [1, 2, 2], [0, 1, 1]), // fewer rows than a tile
  upsampledLayer([2, 3, 5, 6], 9, 3, 2),
  upsampledLayer([1, 4, 3, 7], 18, 3, 2, true),
  upsampledLayer([2, 1, 2, 5], 6, 3, 2), // both borders in every window
  upsampledLayer([1, 3, 4, 5], 6, 5, 2),
  upsampledLayer([1, 3, 2, 5], 7, 3, 3),
  shuffledLayer([2, 3, 5, 6], 3, 2),
  shuffledLayer([1, 4, 3, 5], 6, 3),
  grownLayer([3, 4, 2, 7], 6, 2),
  grownLayer([2, 3, 5, 6], 9, 3),
  { ...upsampledLayer([1, 28, 28, 64], 64, 3, 2, true), bench: true },
];

export const convTransposeCases: readonly OpCase[] = LAYERS.map(make);
