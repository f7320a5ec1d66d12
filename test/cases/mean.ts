import { tensor } from "../../src/core/tensor.ts";
import { mean } from "../../src/ops/index.ts";
import { EPSILON, type Expected } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";

interface Size {
  readonly x: readonly number[];
  readonly groups: number;
  readonly bench?: boolean;
}

/**
 * A row passes at most count - 1 additions; the division may be off by 2.5 units in the last place (WGSL 15.7.4), which are
 * 5 roundings; one more is the rounding of the bound itself.
 */
function reference(x: ArrayLike<number>, groups: number, channels: number): Expected {
  const count = x.length / channels / groups;
  const [want, allowed] = [new Float64Array(groups * channels), new Float64Array(groups * channels)];
  for (let g = 0; g < groups; g++)
    for (let c = 0; c < channels; c++) {
      let [sum, magnitude] = [0, 0];
      for (let i = 0; i < count; i++) {
        const v = x[(g * count + i) * channels + c]!;
        sum += v;
        magnitude += Math.abs(v);
      }
      want[g * channels + c] = sum / count;
      allowed[g * channels + c] = ((count + 5) * EPSILON * magnitude) / count;
    }
  return { shape: [groups, channels], want, allowed };
}

const make = ({ x, groups, bench = false }: Size): OpCase =>
  opCase({
    op: "mean",
    title: `[${x.join(", ")}] -> ${groups}`,
    bench,
    flops: x.reduce((a, b) => a * b, 1),
    build: (g) => g.output("y", g.apply(mean, "mean", { x: g.input("x", tensor(...x)) }, { groups }).y!),
    feeds: (random) => ({ x: random.normal(...x) }),
    expected: (feeds) => ({ y: reference(feeds.x!, groups, x.at(-1)!) }),
  });

const SIZES: readonly Size[] = [
  { x: [3, 5, 7, 10], groups: 3 },
  { x: [7, 27], groups: 1 },
  { x: [6, 2, 3, 5], groups: 2 }, // a group spans frames
  { x: [5, 3], groups: 5 }, // a row each
  { x: [2, 4, 3, 300], groups: 2 }, // more threads than a workgroup
  { x: [8, 7, 7, 1280], groups: 8, bench: true },
];

export const meanCases: readonly OpCase[] = SIZES.map(make);
