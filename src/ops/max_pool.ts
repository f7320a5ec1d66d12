import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, extent, quads, storedLength } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";
import { pad, slideShape } from "./conv2d.ts";

export interface PoolAttrs {
  /** Height and width of the window. */
  readonly kernel: number;
  readonly stride: number;
  /** Pixels around the input that never win (minus infinity). */
  readonly pad: number;
}

/** Largest value in each window of [frames, height, width, channels]. */
export const maxPool = defineOp<PoolAttrs>({
  name: "maxPool",
  takes: ["x"],
  infer({ x }, { kernel, stride, pad: around }) {
    if (2 * around > kernel)
      fail("graph", `a pad of ${around} leaves windows of ${kernel} with no pixel; pad at most half a window`);
    return { y: slideShape(x!, channels(x!), kernel, stride, pad(around)) };
  },
  lower: ({ x, y }, { kernel, stride, pad: around }) => [
    dispatch(kernels.maxPool, {
      params: {
        channels4: quads(channels(x!.spec)),
        in_height: extent(x!.spec, 1),
        in_width: extent(x!.spec, 2),
        out_height: extent(y!.spec, 1),
        out_width: extent(y!.spec, 2),
        kernel,
        stride,
        pad: around,
        total: storedLength(y!.spec) / 4,
      },
      bind: { x: x!, y: y! },
      groups: flat(storedLength(y!.spec) / 4, kernels.maxPool.consts.WG),
    }),
  ],
});
