import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, extent, quads, rows, storedLength } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";
import type { Shift } from "./conv2d.ts";

export interface ShiftAttrs extends Shift {
  /** Frames in a clip; the first extent of x is a multiple of it. */
  readonly frames: number;
}

/** The stand-alone temporal shift over [clips * frames, height, width, channels]; zeros beyond a clip's ends. */
export const temporalShift = defineOp<ShiftAttrs>({
  name: "temporalShift",
  takes: ["x"],
  infer({ x }, { frames, fold, mode }) {
    if (extent(x!, 0) % frames !== 0) fail("graph", `${extent(x!, 0)} frames do not divide into clips of ${frames}`);
    if (fold < 1) fail("graph", `a shift of ${fold} channels moves nothing; leave it out`);
    if (fold * (mode === "both" ? 2 : 1) > channels(x!))
      fail("graph", `a shift of ${fold} channels does not fit ${channels(x!)}`);
    return { y: x! };
  },
  lower: ({ x, y }, { frames, fold, mode }) => [
    dispatch(kernels.temporalShift, {
      consts: { PAST: mode === "past" },
      params: {
        channels4: quads(channels(x!.spec)),
        fold,
        frames,
        frame_rows: rows(x!.spec) / extent(x!.spec, 0),
        total: storedLength(x!.spec) / 4,
      },
      bind: { x: x!, y: y! },
      groups: flat(storedLength(x!.spec) / 4, kernels.temporalShift.consts.WG),
    }),
  ],
});
