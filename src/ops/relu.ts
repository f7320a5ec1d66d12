import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { storedLength } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

/** y = max(x, 0), beside x: for residual blocks that begin with it. Elsewhere ReLU is an activation of the op before. */
export const relu = defineOp<Record<string, never>>({
  name: "relu",
  takes: ["x"],
  infer: ({ x }) => ({ y: x! }),
  lower({ x, y }) {
    const total = storedLength(y!.spec) / 4;
    return [
      dispatch(kernels.relu, {
        params: { total },
        bind: { x: x!, y: y! },
        groups: flat(total, kernels.relu.consts.WG),
      }),
    ];
  },
});
