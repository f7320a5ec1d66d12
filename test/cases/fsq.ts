import { tensor } from "../../src/core/tensor.ts";
import { fsqConstants } from "../../src/models/codebooks.ts";
import { fsq } from "../../src/ops/index.ts";
import type { Expected } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";

interface Size {
  readonly sites: readonly number[];
  readonly levels: readonly number[];
  readonly bench?: boolean;
}

/** tanh of WGSL is sinh / cosh with no bound of its own; 2^-14 of the range of a digit is far more than any GPU is off by. */
const TANH = 2 ** -14;

/** The definition in f64. Where a digit lies so near to a half that tanh decides, either neighbour is right. */
function reference(z: ArrayLike<number>, sites: readonly number[], levels: readonly number[]): Expected {
  const rows = z.length / levels.length;
  const [want, allowed] = [new Float64Array(rows), new Float64Array(rows)];
  for (let row = 0; row < rows; row++) {
    let place = 1;
    for (const [i, level] of levels.entries()) {
      const half = ((level - 1) * 1.001) / 2;
      const offset = level % 2 === 0 ? 0.5 : 0;
      const bounded = Math.tanh(z[row * levels.length + i]! + Math.atanh(offset / half)) * half - offset;
      want[row]! += (Math.round(bounded) + Math.floor(level / 2)) * place;
      if (Math.abs(bounded - Math.floor(bounded) - 0.5) < level * TANH) allowed[row]! += place;
      place *= level;
    }
  }
  return { shape: [...sites, 1], want, allowed };
}

const make = ({ sites, levels, bench = false }: Size): OpCase =>
  opCase({
    op: "fsq",
    title: `[${sites.join(", ")}] levels ${levels.join("x")}`,
    bench,
    flops: sites.reduce((a, b) => a * b, 1) * levels.length * 6,
    build(g) {
      const z = g.input("z", tensor(...sites, levels.length));
      const constants = fsqConstants(g, "levels", levels);
      g.output("codes", g.apply(fsq, "code", { z, constants }, { levels }).codes!);
    },
    feeds: (random) => ({ z: random.normal(...sites, levels.length) }),
    expected: ({ z }) => ({ codes: reference(z!, sites, levels) }),
  });

const SIZES: readonly Size[] = [
  { sites: [2, 5, 7], levels: [8, 6, 5] },
  { sites: [1, 3, 4], levels: [16, 8, 8, 8] },
  { sites: [1, 9, 3], levels: [5, 4, 3, 2, 2, 7] },
  { sites: [1, 1, 11], levels: [3] },
  { sites: [16, 64, 64], levels: [16, 8, 8, 8], bench: true },
];

export const fsqCases: readonly OpCase[] = SIZES.map(make);
