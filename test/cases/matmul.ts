import { tensor } from "../../src/core/tensor.ts";
import { unit } from "../../src/models/layers.ts";
import { LINEAR, matmul, RELU6 } from "../../src/ops/index.ts";
import { linear } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";
import { convolve } from "./reference.ts";

interface Size {
  readonly x: readonly number[];
  readonly out: number;
  readonly residual?: boolean;
  readonly relu6?: boolean;
  readonly bench?: boolean;
}

const WINDOW = { kernel: 1, stride: 1, padding: { top: 0, left: 0, bottom: 0, right: 0 } };

function make({ x, out, residual = false, relu6 = false, bench = false }: Size): OpCase {
  const input = x.at(-1)!;
  const y = [...x.slice(0, -1), out];
  const rows = y.slice(0, -1).reduce((a, b) => a * b, 1);
  const activation = relu6 ? RELU6 : LINEAR;
  return opCase({
    op: "matmul",
    title: `[${x.join(", ")}] -> ${out}${residual ? " residual" : ""}${relu6 ? " relu6" : ""}`,
    bench,
    weights: { "u.weight": [out, input], "u.bias": [out] },
    build(g) {
      const values = {
        x: g.input("x", tensor(...x)),
        ...unit(g, "u", { out, input, kernel: 1, linear: true, batchNorm: false, bias: true }),
        residual: residual ? g.input("residual", tensor(...y)) : undefined,
      };
      g.output("y", g.apply(matmul, "product", values, { out, activation }).y!);
    },
    feeds: (random) => ({ x: random.normal(...x), ...(residual ? { residual: random.normal(...y) } : {}) }),
    expected(feeds, weights) {
      const [w, bias] = [weights.get("u.weight")!, weights.get("u.bias")!];
      const flat = { shape: [1, 1, rows, input], data: feeds.x! } as const;
      const sums = convolve(flat, w, bias, out, WINDOW, { residual: feeds.residual });
      return { y: linear(y, sums.want, sums.magnitude, input, activation) };
    },
  });
}

const SIZES: readonly Size[] = [
  { x: [1, 129], out: 27 }, // the online head
  { x: [3, 37], out: 11, relu6: true },
  { x: [7, 6], out: 5, residual: true },
  { x: [8, 10], out: 9 }, // one tile of rows, to the row
  { x: [9, 5], out: 18, residual: true },
  { x: [2, 3, 5, 13], out: 22, relu6: true },
  { x: [101, 9], out: 35 },
  { x: [8, 1280], out: 400, bench: true },
  { x: [6272, 512], out: 256, bench: true },
];

export const matmulCases: readonly OpCase[] = SIZES.map(make);
