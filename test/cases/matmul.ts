import { tensor } from "../../src/core/tensor.ts";
import { unit } from "../../src/models/layers.ts";
import { GELU, GELU_TANH, LINEAR, matmul, RELU6 } from "../../src/ops/index.ts";
import { type OpCase, opCase } from "./case.ts";
import { activated } from "./gelu.ts";
import { convolve } from "./reference.ts";

const ACTIVATIONS = { linear: LINEAR, relu6: RELU6, gelu: GELU, "tanh gelu": GELU_TANH };

interface Size {
  readonly x: readonly number[];
  readonly out: number;
  readonly residual?: boolean;
  /** Default linear. */
  readonly activation?: keyof typeof ACTIVATIONS;
  readonly bench?: boolean;
}

const WINDOW = { kernel: 1, stride: 1, padding: { top: 0, left: 0, bottom: 0, right: 0 } };

function make({ x, out, residual = false, activation: named = "linear", bench = false }: Size): OpCase {
  const input = x.at(-1)!;
  const y = [...x.slice(0, -1), out];
  const rows = y.slice(0, -1).reduce((a, b) => a * b, 1);
  const activation = ACTIVATIONS[named];
  return opCase({
    op: "matmul",
    title: `[${x.join(", ")}] -> ${out}${residual ? " residual" : ""}${named === "linear" ? "" : ` ${named}`}`,
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
      return { y: activated(y, sums.want, sums.magnitude, input, activation) };
    },
  });
}

const SIZES: readonly Size[] = [
  { x: [1, 129], out: 27 }, // the online head
  { x: [3, 37], out: 11, activation: "relu6" },
  { x: [7, 6], out: 5, residual: true },
  { x: [8, 10], out: 9 }, // one tile of rows, to the row
  { x: [9, 5], out: 18, residual: true },
  { x: [2, 3, 5, 13], out: 22, activation: "relu6" },
  { x: [101, 9], out: 35 },
  { x: [997, 1], out: 5, activation: "gelu" }, // a sum is one product: what is allowed is erf's own error
  { x: [5, 13], out: 10, activation: "gelu", residual: true },
  { x: [997, 1], out: 5, activation: "tanh gelu" },
  { x: [11, 6], out: 18, activation: "tanh gelu", residual: true },
  { x: [8, 1280], out: 400, bench: true },
  { x: [6272, 512], out: 256, bench: true },
];

export const matmulCases: readonly OpCase[] = SIZES.map(make);
