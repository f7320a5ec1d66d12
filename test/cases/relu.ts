import { tensor } from "../../src/core/tensor.ts";
import { relu } from "../../src/ops/index.ts";
import { exact } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";

const make = (shape: readonly number[], bench = false): OpCase =>
  opCase({
    op: "relu",
    title: `[${shape.join(", ")}]`,
    bench,
    flops: shape.reduce((a, b) => a * b, 1),
    build(g) {
      const x = g.input("x", tensor(...shape));
      g.output("y", g.apply(relu, "positive", { x }, {}).y!);
    },
    feeds: (random) => ({ x: random.normal(...shape) }),
    expected: ({ x }) => ({
      y: exact(
        shape,
        x!.map((v) => Math.max(v, 0)),
      ),
    }),
  });

export const reluCases: readonly OpCase[] = [make([1, 3, 5, 7]), make([2, 11, 13, 1]), make([8, 32, 32, 64], true)];
