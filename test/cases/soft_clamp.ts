import { tensor } from "../../src/core/tensor.ts";
import { softClamp } from "../../src/ops/index.ts";
import { EPSILON, type Expected } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";

interface Size {
  readonly x: readonly number[];
  readonly bound: number;
  readonly bench?: boolean;
}

/**
 * t = x / bound is off by 2.5 units (5 u) of itself (WGSL 15.7.4), which reaches tanh by its slope 1 - tanh^2. e = exp(2 t) is off by 3 + 2 |2 t| units, so by
 * (6 + 8 |t|) u, and e + 1 by e / (e + 1) of that and a rounding; the quotient d = 2 / (e + 1) by 5 u more. One rounding each for the difference and the
 * product. Beyond |t| = 10 the clamp leaves out less than d(10) = 2 exp(-20) = 4.2e-9.
 */
function reference(shape: readonly number[], x: ArrayLike<number>, bound: number): Expected {
  const [want, allowed] = [new Float64Array(x.length), new Float64Array(x.length)];
  for (let i = 0; i < x.length; i++) {
    const t = x[i]! / bound;
    const inside = Math.min(Math.abs(t), 10) * Math.sign(t);
    const e = Math.exp(2 * inside);
    const d = 2 / (e + 1);
    want[i] = bound * Math.tanh(t);
    const slope = 5 * Math.abs(inside) * (1 - Math.tanh(inside) ** 2);
    const quotient = d * ((e / (e + 1)) * (6 + 8 * Math.abs(inside)) + 6);
    allowed[i] = bound * ((slope + quotient + 2) * EPSILON * 1.01 + (Math.abs(t) > 10 ? 4.3e-9 : 0));
    if (x[i] === 0) allowed[i] = 0;
  }
  return { shape, want, allowed };
}

const make = ({ x: shape, bound, bench = false }: Size): OpCase =>
  opCase({
    op: "softClamp",
    title: `[${shape.join(", ")}] within ${bound}`,
    bench,
    flops: 6 * shape.reduce((a, b) => a * b, 1),
    build: (g) => g.output("y", g.apply(softClamp, "clamp", { x: g.input("x", tensor(...shape)) }, { bound }).y!),
    feeds: (random) => ({
      x: random
        .normal(...shape)
        .map((v, i) => (i % 11 === 3 ? 0 : i % 13 === 5 ? v * 1e30 : i % 7 === 2 ? v * 20 : v * 3)),
    }),
    expected: ({ x }) => ({ y: reference(shape, x!, bound) }),
  });

const SIZES: readonly Size[] = [
  { x: [2, 3, 5, 7], bound: 3 },
  { x: [3, 4], bound: 0.5 },
  { x: [5, 9, 16], bound: 3 }, // more threads than a workgroup
  { x: [8, 64, 64, 16], bound: 3, bench: true },
];

export const softClampCases: readonly OpCase[] = SIZES.map(make);
