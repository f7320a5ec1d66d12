import type { GraphBuilder } from "../../src/core/graph.ts";
import { tensor } from "../../src/core/tensor.ts";
import { vector } from "../../src/models/layers.ts";
import { groupMoments, groupNorm, LINEAR, RELU } from "../../src/ops/index.ts";
import { EPSILON, type Expected } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";

interface Size {
  readonly x: readonly [frames: number, height: number, width: number, channels: number];
  readonly groups: number;
  readonly relu?: boolean;
  readonly epsilon?: number;
  /** Added to every element: a mean that dwarfs the spread. */
  readonly offset?: number;
  readonly bench?: boolean;
}

/** What a group holds of a frame, or of a piece of it. */
interface Moments {
  readonly count: number;
  readonly mean: number;
  readonly squares: number;
  /** Mean of |x|. */
  readonly size: number;
}

const length = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** The moments of the pixels [from, to) of a frame, channels of a group. */
function momentsOf(x: ArrayLike<number>, s: Size, frame: number, group: number, from: number, to: number): Moments {
  const [, height, width, channels] = s.x;
  const four = channels / s.groups;
  const values: number[] = [];
  for (let p = from; p < to; p++)
    for (let c = 0; c < four; c++) values.push(x[(frame * height * width + p) * channels + group * four + c]!);
  const count = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / count;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { count, mean, squares, size: values.reduce((sum, v) => sum + Math.abs(v), 0) / count };
}

/** A mean of n numbers is off by the roundings that a number passes: n - 1 additions and a division of 2.5 units (WGSL 15.7.4). */
const meanOff = (n: number, size: number): number => (n + 5) * EPSILON * size;

/**
 * Squared distances from a mean that is off by m: sum (x - mean - m)^2 is n m^2 larger, as the sum of x - mean is zero; a term passes a
 * subtraction (twice, squared), a product and n additions.
 */
const squaresOff = (n: number, { squares, count }: Moments, m: number): number =>
  (n + 6) * EPSILON * (squares + count * m * m) + count * m * m;

function pieces(s: Size): [from: number, to: number][] {
  const pixels = s.x[1] * s.x[2];
  const span = Math.ceil(Math.sqrt(pixels));
  const count = Math.ceil(pixels / span);
  return Array.from({ length: count }, (_, i) => [i * span, Math.min((i + 1) * span, pixels)]);
}

function expectedMoments(s: Size, x: ArrayLike<number>): Expected {
  const parts = pieces(s);
  const shape = [s.x[0], parts.length, 4 * s.groups];
  const [want, allowed] = [new Float64Array(length(shape)), new Float64Array(length(shape))];
  let at = 0;
  for (let frame = 0; frame < s.x[0]; frame++)
    for (const [from, to] of parts)
      for (let group = 0; group < s.groups; group++, at += 4) {
        const m = momentsOf(x, s, frame, group, from, to);
        want.set([m.count, m.mean, m.squares, 0], at);
        const off = meanOff(m.count, m.size);
        allowed.set([0, off, squaresOff(m.count, m, off), 0], at);
      }
  return { shape, want, allowed };
}

/**
 * The mean over pieces passes a piece's additions and then one addition a piece, so n of the whole group bounds both. The variance is off
 * by squaresOff of the pieces and by what wrong means of pieces and of the whole put between them: 2 |m_piece - mean| (e + e') + (e + e')^2, where
 * both e are at most m; the distances average to at most the standard deviation D. Its inverse root and the sums follow as in layer norm.
 */
function expectedNorm(s: Size, x: ArrayLike<number>, scale: Float32Array, shift: Float32Array): Expected {
  const [frames, height, width, channels] = s.x;
  const [want, allowed] = [new Float64Array(length(s.x)), new Float64Array(length(s.x))];
  const epsilon = s.epsilon ?? 1e-5;
  for (let frame = 0; frame < frames; frame++)
    for (let group = 0; group < s.groups; group++) {
      const all = momentsOf(x, s, frame, group, 0, height * width);
      const variance = all.squares / all.count;
      const m = meanOff(all.count + 4, all.size);
      const between = 4 * m * Math.sqrt(variance) + 4 * m * m;
      const off = squaresOff(all.count + 8, all, m) / all.count + between;
      const root = Math.sqrt(variance + epsilon);
      for (let p = 0; p < height * width; p++)
        for (let c = (group * channels) / s.groups; c < ((group + 1) * channels) / s.groups; c++) {
          const at = (frame * height * width + p) * channels + c;
          const normal = (x[at]! - all.mean) / root;
          const value = normal * scale[c]! + shift[c]!;
          want[at] = s.relu ? Math.max(0, value) : value;
          const share = m / root + Math.abs(normal) * (off / (2 * root * root) + 10 * EPSILON);
          allowed[at] = (share * Math.abs(scale[c]!) + 2 * EPSILON * Math.abs(value)) * (1 + 1e-2) + 2 ** -120;
        }
    }
  return { shape: s.x, want, allowed };
}

const title = (s: Size): string =>
  `[${s.x.join(", ")}] in ${s.groups}${s.relu ? " relu" : ""}${s.offset ? ` around ${s.offset}` : ""}`;

const input = (g: GraphBuilder, s: Size) => g.input("x", tensor(...s.x));

const SIZES: readonly Size[] = [
  { x: [2, 3, 5, 8], groups: 2 },
  { x: [3, 5, 7, 12], groups: 3, relu: true },
  { x: [1, 1, 2, 4], groups: 1, epsilon: 0.5 },
  { x: [2, 4, 3, 16], groups: 1, offset: 1000 }, // E[x^2] - E[x]^2 would be noise
  { x: [3, 9, 11, 40], groups: 5, relu: true }, // more threads than a workgroup
  { x: [1, 32, 32, 256], groups: 4, relu: true, bench: true },
];

export const groupMomentsCases: readonly OpCase[] = SIZES.map((s) =>
  opCase({
    op: "groupMoments",
    title: title(s),
    bench: s.bench ?? false,
    flops: 4 * length(s.x),
    build: (g) => g.output("y", g.apply(groupMoments, "moments", { x: input(g, s) }, { groups: s.groups }).y!),
    feeds: (random) => ({ x: random.normal(...s.x).map((v) => v + (s.offset ?? 0)) }),
    expected: ({ x }) => ({ y: expectedMoments(s, x!) }),
  }),
);

export const groupNormCases: readonly OpCase[] = SIZES.map((s) =>
  opCase({
    op: "groupNorm",
    title: title(s),
    bench: s.bench ?? false,
    flops: 8 * length(s.x),
    weights: { scale: [s.x[3]], shift: [s.x[3]] },
    build(g) {
      const x = input(g, s);
      const moments = g.apply(groupMoments, "moments", { x }, { groups: s.groups }).y!;
      const affine = { scale: vector(g, "scale", "scale", [s.x[3]]), shift: vector(g, "shift", "shift", [s.x[3]]) };
      const attrs = { epsilon: s.epsilon ?? 1e-5, activation: s.relu ? RELU : LINEAR };
      g.output("y", g.apply(groupNorm, "norm", { x, moments, ...affine }, attrs).y!);
    },
    feeds: (random) => ({ x: random.normal(...s.x).map((v) => v + (s.offset ?? 0)) }),
    expected: ({ x }, weights) => ({ y: expectedNorm(s, x!, weights.get("scale")!, weights.get("shift")!) }),
  }),
);
