import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, quads, rows, shapeText, storedLength, tensor } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

export interface MeanAttrs {
  /** Means that come out: N for the pixels of N frames, 1 for the frames of a clip. */
  readonly groups: number;
}

/** Mean over equal runs of rows: [..., channels] -> [groups, channels]. */
export const mean = defineOp<MeanAttrs>({
  name: "mean",
  takes: ["x"],
  infer({ x }, { groups }) {
    if (rows(x!) % groups !== 0)
      fail("graph", `${rows(x!)} rows of ${shapeText(x!)} do not divide into ${groups} groups`);
    return { y: tensor(groups, channels(x!)) };
  },
  lower: ({ x, y }, { groups }) => [
    dispatch(kernels.mean, {
      params: { channels4: quads(channels(x!.spec)), count: rows(x!.spec) / groups, total: storedLength(y!.spec) / 4 },
      bind: { x: x!, y: y! },
      groups: flat(storedLength(y!.spec) / 4, kernels.mean.consts.WG),
    }),
  ],
});
