import { toHalf } from "../../src/core/half.ts";
import { tensor } from "../../src/core/tensor.ts";
import { ceilingCopy, ceilingFma, ceilingLoad } from "../../src/ops/index.ts";
import { EPSILON, exact } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";
import { halfValue } from "./half.ts";

/** The start may be off by a rounding. A step multiplies and adds, two roundings of at most `most`; later steps shrink an error by the factor. */
function fma(shape: readonly number[], chains: number, rounds: number): OpCase {
  const factor = 0.75;
  return opCase({
    op: "ceilingFma",
    title: `[${shape.join(", ")}] ${chains} chains ${rounds} rounds`,
    build: (g) =>
      g.output("y", g.apply(ceilingFma, "fma", { x: g.input("x", tensor(...shape)) }, { chains, rounds, factor }).y!),
    feeds: (random) => ({ x: random.normal(...shape) }),
    expected: ({ x }) => {
      const [want, allowed] = [new Float64Array(x!.length), new Float64Array(x!.length)];
      x!.forEach((start, i) => {
        for (let c = 0; c < chains; c++) {
          let a = start * (c + 1);
          let most = Math.abs(a);
          for (let step = 0; step < 4 * rounds; step++) {
            a = a * factor + start;
            most = Math.max(most, Math.abs(a), Math.abs(a * factor));
          }
          want[i]! += a;
          allowed[i]! += (2 * most * EPSILON) / (1 - factor) + (chains + 2) * most * EPSILON;
        }
      });
      return { y: { shape, want, allowed } };
    },
  });
}

const copy = (shape: readonly number[]): OpCase =>
  opCase({
    op: "ceilingCopy",
    title: `[${shape.join(", ")}]`,
    flops: 1,
    build: (g) => g.output("y", g.apply(ceilingCopy, "copy", { x: g.input("x", tensor(...shape)) }, {}).y!),
    feeds: (random) => ({ x: random.normal(...shape) }),
    expected: ({ x }) => ({ y: exact(shape, x!) }),
  });

/** f16 numbers, two in the bits of each f32. */
const inPairs = (values: Float32Array): Float32Array<ArrayBuffer> => new Float32Array(toHalf(values).buffer);

/**
 * As many additions as numbers that are loaded; each passes at most all the others. `half`: the table holds f16, of which the first half
 * is read.
 */
function load(size: number, threads: number, rounds: number, half?: "unpacked"): OpCase {
  const shape = [threads, 4];
  return opCase({
    op: "ceilingLoad",
    title: `${threads} threads x ${4 * rounds} blocks of ${size}${half ? ` ${half}` : ""}`,
    flops: threads * rounds * 64,
    build: (g) =>
      g.output(
        "y",
        g.apply(
          ceilingLoad,
          "load",
          { x: g.input("x", tensor(size, 16)) },
          { threads, rounds, ...(half ? { half } : {}) },
        ).y!,
      ),
    feeds: (random) => ({ x: half ? inPairs(random.normal(size, 32)) : random.normal(size, 16) }),
    expected: ({ x: given }) => {
      const x = half ? Array.from(new Uint16Array(given!.buffer), halfValue) : given;
      const [want, allowed] = [new Float64Array(threads * 4), new Float64Array(threads * 4)];
      for (let i = 0; i < threads; i++)
        for (let j = 0; j < 4 * rounds; j++)
          for (let k = 0; k < 16; k++) {
            const block = Math.floor(i / (half ? 2 : 4)) + j;
            const value = x![(block % size) * 16 + k]!;
            want[i * 4 + (k & 3)]! += value;
            allowed[i * 4 + (k & 3)]! += Math.abs(value) * (4 * rounds + 2) * EPSILON;
          }
      return { y: { shape, want, allowed } };
    },
  });
}

export const ceilingCases: readonly OpCase[] = [
  fma([5, 3, 4], 1, 1),
  fma([7, 9], 2, 3),
  fma([3, 5, 8], 4, 2),
  fma([101, 6], 8, 5),
  copy([1, 3]),
  copy([9, 7, 11]),
  copy([130, 16]),
  load(8, 5, 3),
  load(64, 67, 40),
  load(16, 9, 5, "unpacked"),
];
