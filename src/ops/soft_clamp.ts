import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { storedLength } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

export interface SoftClampAttrs {
  /** What no result exceeds. */
  readonly bound: number;
}

/** y = bound * tanh(x / bound), of any shape: numbers far smaller than the bound stay what they are. */
export const softClamp = defineOp<SoftClampAttrs>({
  name: "softClamp",
  takes: ["x"],
  infer({ x }, { bound }) {
    if (!(bound > 0)) fail("graph", `a soft clamp needs a positive bound, got ${bound}`);
    return { y: x! };
  },
  lower({ x, y }, { bound }) {
    const total = storedLength(x!.spec) / 4;
    return [
      dispatch(kernels.softClamp, {
        params: { bound, total },
        bind: { x: x!, y: y! },
        groups: flat(total, kernels.softClamp.consts.WG),
      }),
    ];
  },
});
