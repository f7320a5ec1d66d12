import { tensor } from "../../src/core/tensor.ts";
import { softmax } from "../../src/ops/index.ts";
import { EPSILON, type Expected } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";

interface Size {
  readonly rows: number;
  readonly columns: number;
  readonly bench?: boolean;
}

/**
 * With d = x - max: the subtraction leaves |d| u in the exponent, exp may be off by 3 + 2 |d| units in the last place (WGSL
 * 15.7.4), two roundings each; so exp is off by e = (6 + 5 |d|) u of itself. The sum inherits the mean of the e, weighted by
 * the shares, and one rounding a column; the reciprocal 2.5 units (5 roundings), the product 1; 2 more cover products of
 * errors. What is below the smallest normal number may become zero.
 */
function reference(x: ArrayLike<number>, rows: number, columns: number): Expected {
  const [want, allowed] = [new Float64Array(rows * columns), new Float64Array(rows * columns)];
  for (let r = 0; r < rows; r++) {
    const row = Array.from({ length: columns }, (_, c) => x[r * columns + c]!);
    const top = row.reduce((a, b) => Math.max(a, b));
    const powers = row.map((v) => Math.exp(v - top));
    const sum = powers.reduce((a, b) => a + b, 0);
    const errors = row.map((v) => 6 + 5 * (top - v));
    const inherited = powers.reduce((total, p, c) => total + (p / sum) * errors[c]!, 0);
    for (let c = 0; c < columns; c++) {
      const share = powers[c]! / sum;
      want[r * columns + c] = share;
      allowed[r * columns + c] = (errors[c]! + inherited + columns + 8) * EPSILON * share + 2 ** -125;
    }
  }
  return { shape: [rows, columns], want, allowed };
}

/** Rows of plain numbers; every third one has a spike that takes nearly all, every fifth one is far from zero. */
function spiked(normal: Float32Array<ArrayBuffer>, columns: number): Float32Array<ArrayBuffer> {
  return normal.map((v, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    if (row % 3 === 2 && column === columns - 1) return 30;
    return row % 5 === 3 ? v - 1000 : v * 3;
  });
}

const make = ({ rows, columns, bench = false }: Size): OpCase =>
  opCase({
    op: "softmax",
    title: `[${rows}, ${columns}]`,
    bench,
    flops: 4 * rows * columns,
    build: (g) => g.output("y", g.apply(softmax, "shares", { x: g.input("x", tensor(rows, columns)) }, {}).y!),
    feeds: (random) => ({ x: spiked(random.normal(rows, columns), columns) }),
    expected: (feeds) => ({ y: reference(feeds.x!, rows, columns) }),
  });

const SIZES: readonly Size[] = [
  { rows: 7, columns: 5 },
  { rows: 4, columns: 1 },
  { rows: 5, columns: 8 },
  { rows: 6, columns: 50 },
  { rows: 70, columns: 3 }, // more rows than a workgroup has threads
  { rows: 6272, columns: 1568, bench: true },
];

export const softmaxCases: readonly OpCase[] = SIZES.map(make);
