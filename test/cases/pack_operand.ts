import { tensor } from "../../src/core/tensor.ts";
import { zeroBias } from "../../src/models/layers.ts";
import { LINEAR, matmul, packOperand } from "../../src/ops/index.ts";
import { linear } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";
import type { Random } from "./random.ts";
import { convolve } from "./reference.ts";

const WINDOW = { kernel: 1, stride: 1, padding: { top: 0, left: 0, bottom: 0, right: 0 } };

interface Size {
  readonly queries: number;
  readonly keys: number;
  readonly channels: number;
  readonly bench?: boolean;
}

/** The packed layout is judged by what it is for: queries x keys^T, or (transposed) shares x values. */
function make({ queries, keys, channels, bench = false }: Size, transposed: boolean): OpCase {
  const [input, out] = transposed ? [keys, channels] : [channels, keys];
  return opCase({
    op: "packOperand",
    title: transposed
      ? `transposed [${queries}, ${keys}] x [${keys}, ${channels}]`
      : `[${queries}, ${channels}] x [${keys}, ${channels}]^T`,
    bench,
    build(g) {
      const operand = g.apply(packOperand, "packed", { x: g.input("operand", tensor(keys, channels)) }, { transposed });
      const values = { x: g.input("x", tensor(queries, input)), w: operand.w, bias: zeroBias(g, "bias", out) };
      g.output("y", g.apply(matmul, "product", values, { out, activation: LINEAR }).y!);
    },
    feeds: (random: Random) => ({ x: random.normal(queries, input), operand: random.normal(keys, channels) }),
    expected({ x, operand }) {
      const w = transposed
        ? Float32Array.from(
            { length: keys * channels },
            (_, i) => operand![(i % keys) * channels + Math.floor(i / keys)]!,
          )
        : operand!;
      const flat = { shape: [1, 1, queries, input], data: x! } as const;
      const sums = convolve(flat, w, new Float64Array(out), out, WINDOW);
      return { y: linear([queries, out], sums.want, sums.magnitude, input) };
    },
  });
}

const SIZES: readonly Size[] = [
  { queries: 7, keys: 13, channels: 10 },
  { queries: 11, keys: 6, channels: 21 },
  { queries: 9, keys: 1, channels: 5 },
  { queries: 5, keys: 70, channels: 18 }, // more blocks than a workgroup has threads
  { queries: 6272, keys: 1568, channels: 256, bench: true },
];

export const packOperandCases: readonly OpCase[] = SIZES.flatMap((size) => [make(size, false), make(size, true)]);
