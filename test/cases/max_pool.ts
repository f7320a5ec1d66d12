import { tensor } from "../../src/core/tensor.ts";
import { maxPool } from "../../src/ops/index.ts";
import { exact } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";
import { eachWindow, type Shape4, windowShape } from "./reference.ts";

interface Size {
  readonly x: Shape4;
  readonly kernel: number;
  readonly stride: number;
  readonly pad: number;
  readonly bench?: boolean;
}

function make({ x, kernel, stride, pad, bench = false }: Size): OpCase {
  const window = { kernel, stride, padding: { top: pad, left: pad, bottom: pad, right: pad } };
  const y = windowShape(x, x[3], window);
  return opCase({
    op: "maxPool",
    title: `${kernel}x${kernel} s${stride} pad ${pad} [${x.join(", ")}]`,
    bench,
    flops: y.reduce((a, b) => a * b, 1) * kernel * kernel,
    build: (g) =>
      g.output("y", g.apply(maxPool, "pool", { x: g.input("x", tensor(...x)) }, { kernel, stride, pad }).y!),
    // Nearly all negative: padding that counted as zero would win.
    feeds: (random) => ({ x: random.normal(...x).map((v) => v - 4) }),
    expected({ x: data }) {
      const best = new Float64Array(y.reduce((a, b) => a * b, 1)).fill(Number.NEGATIVE_INFINITY);
      eachWindow(x, y, window, (output, pixel) => {
        for (let c = 0; c < x[3]; c++) {
          best[output * x[3] + c] = Math.max(best[output * x[3] + c]!, data![pixel + c]!);
        }
      });
      return { y: exact(y, best) };
    },
  });
}

const SIZES: readonly Size[] = [
  { x: [2, 7, 5, 9], kernel: 3, stride: 2, pad: 1 },
  { x: [1, 8, 6, 4], kernel: 3, stride: 2, pad: 1 },
  { x: [3, 5, 7, 6], kernel: 2, stride: 2, pad: 0 }, // the last row and column fall off
  { x: [1, 4, 9, 5], kernel: 3, stride: 1, pad: 1 },
  { x: [1, 2, 1, 3], kernel: 5, stride: 3, pad: 2 }, // the window is larger than the frame
  { x: [8, 112, 112, 64], kernel: 3, stride: 2, pad: 1, bench: true },
];

export const maxPoolCases: readonly OpCase[] = SIZES.map(make);
