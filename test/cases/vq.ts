import { tensor } from "../../src/core/tensor.ts";
import { vqWeights } from "../../src/models/codebooks.ts";
import { vq } from "../../src/ops/index.ts";
import { EPSILON, type Expected } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";

interface Size {
  readonly z: readonly number[];
  readonly codes: number;
  readonly codebooks?: number;
  readonly split?: "contiguous" | "strided";
  /** Small whole numbers: every sum is exact, many distances are equal, and the lowest code must win. */
  readonly ties?: boolean;
  readonly bench?: boolean;
}

/**
 * Squared distances in f64. A score is a sum of dim + 1 terms, each off by at most so many roundings of itself; where the second
 * best code is nearer than twice that, either answer is right.
 */
function nearest(z: ArrayLike<number>, book: ArrayLike<number>, size: Required<Size>): Expected {
  const { codes, codebooks, split, ties } = size;
  const input = size.z.at(-1)!;
  const dim = input / codebooks;
  const rows = z.length / input;
  const [want, allowed] = [new Float64Array(rows * codebooks), new Float64Array(rows * codebooks)];
  for (let i = 0; i < want.length; i++) {
    const [row, b] = [Math.floor(i / codebooks), i % codebooks];
    let [best, second, code, size1] = [Infinity, Infinity, 0, 0];
    for (let k = 0; k < codes; k++) {
      let [score, magnitude] = [0, 0];
      for (let c = 0; c < dim; c++) {
        const at = split === "strided" ? c * codebooks + b : b * dim + c;
        const [e, v] = [book[(b * codes + k) * dim + c]!, z[row * input + at]!];
        score += e * e - 2 * e * v;
        magnitude += e * e + 2 * Math.abs(e * v);
      }
      size1 = Math.max(size1, magnitude);
      if (score < best) [best, second, code] = [score, best, k];
      else if (score < second) second = score;
    }
    want[i] = code;
    if (!ties && second - best <= 2 * (dim + 3) * EPSILON * size1) allowed[i] = codes;
  }
  return { shape: [...size.z.slice(0, -1), codebooks], want, allowed };
}

function make(given: Size): OpCase {
  const size = { codebooks: 1, split: "contiguous", ties: false, bench: false, ...given } as const;
  const { z, codes, codebooks, split, ties, bench } = size;
  const dim = z.at(-1)! / codebooks;
  const whole = (values: ArrayLike<number>) =>
    Float32Array.from(values, (v) => Math.round(Math.max(-2, Math.min(2, v))));
  const c = opCase({
    op: "vq",
    title: `[${z.join(", ")}] ${codebooks > 1 ? `${codebooks} x ${split} ` : ""}${codes} codes${ties ? ", ties" : ""}`,
    bench,
    weights: { "q.codebook": [codebooks, codes, dim] },
    build(g) {
      const weights = vqWeights(g, "q", "q.codebook", { kind: "vq", codes, dim, codebooks }, split);
      const x = g.input("z", tensor(...z));
      g.output("codes", g.apply(vq, "nearest", { z: x, ...weights }, { codes, codebooks, split }).codes!);
    },
    feeds: (random) => ({ z: ties ? whole(random.normal(...z)) : random.normal(...z) }),
    expected: (feeds, weights) => ({ codes: nearest(feeds.z!, weights.get("q.codebook")!, size) }),
  });
  return ties ? { ...c, ...wholeWeights(c, whole(c.weights.get("q.codebook")!)) } : c;
}

/** The case with another codebook. */
function wholeWeights(c: OpCase, book: Float32Array): Pick<OpCase, "weights" | "expected"> {
  const weights = new Map([["q.codebook", book]]);
  return { weights, expected: (feeds, other = weights) => c.expected(feeds, other) };
}

const SIZES: readonly Size[] = [
  { z: [1, 3, 5, 8], codes: 256 },
  { z: [2, 7, 9, 5], codes: 37 }, // neither channels nor codes fill their last four
  { z: [1, 2, 3, 24], codes: 13, codebooks: 3 },
  { z: [1, 3, 2, 10], codes: 6, codebooks: 5, split: "strided" },
  { z: [1, 9, 11, 3], codes: 90, ties: true },
  { z: [1, 1, 1, 1], codes: 1 },
  { z: [8, 32, 32, 8], codes: 256, bench: true },
];

export const vqCases: readonly OpCase[] = SIZES.map(make);
