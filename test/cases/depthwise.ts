import { tensor } from "../../src/core/tensor.ts";
import { unit } from "../../src/models/layers.ts";
import { depthwise, LINEAR, pad, RELU6, samePadding } from "../../src/ops/index.ts";
import { linear } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";
import { convolve, type Shape4 } from "./reference.ts";

interface Size {
  readonly x: Shape4;
  readonly stride: 1 | 2;
  readonly padding: { top: number; left: number; bottom: number; right: number };
  readonly relu6?: boolean;
  readonly bench?: boolean;
}

function make({ x, stride, padding, relu6 = false, bench = false }: Size): OpCase {
  const activation = relu6 ? RELU6 : LINEAR;
  const { top, left, bottom, right } = padding;
  return opCase({
    op: "depthwise",
    title: `s${stride} pad ${top},${left},${bottom},${right} [${x.join(", ")}]${relu6 ? " relu6" : ""}`,
    bench,
    weights: { "u.weight": [x[3], 1, 3, 3], "u.bias": [x[3]] },
    build(g) {
      const weights = unit(g, "u", { out: x[3], input: 1, kernel: 3, batchNorm: false, bias: true }, true);
      const values = { x: g.input("x", tensor(...x)), ...weights };
      g.output("y", g.apply(depthwise, "filter", values, { stride, padding, activation }).y!);
    },
    feeds: (random) => ({ x: random.normal(...x) }),
    expected(feeds, weights) {
      const [w, bias] = [weights.get("u.weight")!, weights.get("u.bias")!];
      const window = { kernel: 3, stride, padding };
      const sums = convolve({ shape: x, data: feeds.x! }, w, bias, x[3], window, { depthwise: true });
      return { y: linear(sums.shape, sums.want, sums.magnitude, 9, activation) };
    },
  });
}

const SIZES: readonly Size[] = [
  { x: [2, 7, 5, 9], stride: 1, padding: pad(1), relu6: true },
  { x: [1, 4, 9, 6], stride: 1, padding: pad(1) },
  { x: [3, 1, 2, 5], stride: 1, padding: pad(1) }, // the filter is larger than the frame
  { x: [1, 6, 5, 7], stride: 1, padding: { top: 2, left: 0, bottom: 0, right: 1 } },
  { x: [2, 9, 7, 10], stride: 2, padding: pad(1), relu6: true },
  { x: [2, 8, 5, 9], stride: 2, padding: samePadding(8, 5, 3, 2) },
  { x: [1, 11, 6, 3], stride: 2, padding: { top: 0, left: 1, bottom: 1, right: 0 } },
  { x: [1, 30, 41, 8], stride: 1, padding: pad(1) }, // more tiles than a workgroup has threads
  { x: [4, 7, 9, 88], stride: 1, padding: pad(1) }, // strips of several lines, the last one shorter
  { x: [4, 11, 9, 160], stride: 2, padding: pad(1), relu6: true },
  { x: [8, 56, 56, 144], stride: 1, padding: pad(1), relu6: true, bench: true },
  { x: [8, 112, 112, 96], stride: 2, padding: pad(1), relu6: true, bench: true },
];

export const depthwiseCases: readonly OpCase[] = SIZES.map(make);
