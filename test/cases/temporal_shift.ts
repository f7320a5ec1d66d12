import { tensor } from "../../src/core/tensor.ts";
import { temporalShift } from "../../src/ops/index.ts";
import { exact } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";
import { type Shape4, shiftFrames } from "./reference.ts";

interface Size {
  readonly x: Shape4;
  /** In a clip; x may hold several. */
  readonly frames: number;
  readonly mode: "both" | "past";
  readonly fold: number;
  readonly bench?: boolean;
}

const make = ({ x, frames, mode, fold, bench = false }: Size): OpCase =>
  opCase({
    op: "temporalShift",
    title: `${mode} ${fold} [${x.join(", ")}], clips of ${frames}`,
    bench,
    flops: 0,
    build: (g) =>
      g.output("y", g.apply(temporalShift, "shift", { x: g.input("x", tensor(...x)) }, { frames, mode, fold }).y!),
    feeds: (random) => ({ x: random.normal(...x) }),
    expected: (feeds) => ({ y: exact(x, shiftFrames(feeds.x!, x, frames, { mode, fold })) }),
  });

const SIZES: readonly Size[] = [
  { x: [5, 3, 2, 19], frames: 5, mode: "both", fold: 2 },
  { x: [6, 3, 2, 16], frames: 3, mode: "both", fold: 4 }, // two clips: nothing passes between them
  { x: [4, 1, 5, 6], frames: 4, mode: "both", fold: 3 }, // every channel moves
  { x: [4, 3, 5, 17], frames: 2, mode: "past", fold: 5 },
  { x: [3, 2, 3, 16], frames: 3, mode: "past", fold: 8 },
  { x: [1, 2, 3, 9], frames: 1, mode: "both", fold: 4 }, // no neighbour
  { x: [8, 56, 56, 256], frames: 8, mode: "both", fold: 32, bench: true },
];

export const temporalShiftCases: readonly OpCase[] = SIZES.map(make);
