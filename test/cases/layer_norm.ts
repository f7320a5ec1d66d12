import { tensor } from "../../src/core/tensor.ts";
import { layerNorm } from "../../src/ops/index.ts";
import { EPSILON, type Expected } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";

interface Size {
  readonly x: readonly number[];
  readonly epsilon: number;
  /** Added to every element: a mean that dwarfs the spread. */
  readonly offset?: number;
  readonly bench?: boolean;
}

/**
 * With n channels, A = mean |x|, D = standard deviation, r = sqrt(D^2 + epsilon): the mean is off by m = (n + 1) u A, each x - mean by
 * m + u |x - mean|. The squares add up to a variance that is off by 2 m D + m^2 (a wrong mean) and (n + 4) u of itself; half
 * the relative error of variance + epsilon reaches its inverse root, which is off by 2 units (4 u) more (WGSL 15.7.4). Three
 * roundings follow, of the product twice and of the sum.
 */
function reference(
  { x: shape, epsilon }: Size,
  x: ArrayLike<number>,
  scale: Float32Array,
  shift: Float32Array,
): Expected {
  const n = shape.at(-1)!;
  const [want, allowed] = [new Float64Array(x.length), new Float64Array(x.length)];
  for (let first = 0; first < x.length; first += n) {
    const row = Array.from({ length: n }, (_, c) => x[first + c]!);
    const mean = row.reduce((a, b) => a + b, 0) / n;
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n;
    const root = Math.sqrt(variance + epsilon);
    const m = (n + 1) * EPSILON * (row.reduce((sum, v) => sum + Math.abs(v), 0) / n);
    const spread = (2 * m * Math.sqrt(variance) + m * m + (n + 4) * EPSILON * variance) / (root * root);
    for (let c = 0; c < n; c++) {
      const normal = (row[c]! - mean) / root;
      want[first + c] = normal * scale[c]! + shift[c]!;
      const off = m / root + Math.abs(normal) * (spread / 2 + 8 * EPSILON);
      allowed[first + c] = (off * Math.abs(scale[c]!) + EPSILON * Math.abs(want[first + c]!)) * (1 + 1e-3) + 2 ** -120;
    }
  }
  return { shape, want, allowed };
}

const make = (s: Size): OpCase => {
  const width = s.x.at(-1)!;
  const length = s.x.reduce((a, b) => a * b, 1);
  return opCase({
    op: "layerNorm",
    title: `[${s.x.join(", ")}] epsilon ${s.epsilon}${s.offset ? ` around ${s.offset}` : ""}`,
    bench: s.bench ?? false,
    flops: 8 * length,
    weights: { scale: [width], shift: [width] },
    build(g) {
      const stored = (name: string) => {
        const length = Math.ceil(width / 4) * 4;
        const pack = (get: (name: string) => Float32Array) => {
          const packed = new Float32Array(length);
          packed.set(get(name));
          return packed;
        };
        return g.weight(name, { tensors: { [name]: [width] }, length, pack });
      };
      const values = { x: g.input("x", tensor(...s.x)), scale: stored("scale"), shift: stored("shift") };
      g.output("y", g.apply(layerNorm, "norm", values, { epsilon: s.epsilon }).y!);
    },
    feeds: (random) => ({ x: random.normal(...s.x).map((v) => v + (s.offset ?? 0)) }),
    expected: ({ x }, weights) => ({ y: reference(s, x!, weights.get("scale")!, weights.get("shift")!) }),
  });
};

const SIZES: readonly Size[] = [
  { x: [5, 7], epsilon: 1e-5 },
  { x: [2, 3, 12], epsilon: 1e-6 },
  { x: [3, 1], epsilon: 1e-5 }, // no spread at all
  { x: [2, 768], epsilon: 1e-5 },
  { x: [3, 45], epsilon: 1e-6, offset: 1000 }, // E[x^2] - E[x]^2 would be noise
  { x: [70, 10], epsilon: 0.5 }, // more rows than a workgroup has threads
  { x: [1, 1030], epsilon: 1e-6 },
  { x: [788, 768], epsilon: 1e-6, bench: true },
];

export const layerNormCases: readonly OpCase[] = SIZES.map(make);
