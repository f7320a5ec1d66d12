import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, quads, rows, tensor } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

export interface PackAttrs {
  /** false: rows become output channels; true: rows become input channels. */
  readonly transposed: boolean;
}

/** Lays an activation [..., channels] out as matmul reads weights, so that two activations can be multiplied. */
export const packOperand = defineOp<PackAttrs>({
  name: "packOperand",
  takes: ["x"],
  infer: ({ x }) => ({ w: tensor(quads(rows(x!)) * quads(channels(x!)) * 16) }),
  lower({ x, w }, { transposed }) {
    const channels4 = quads(channels(x!.spec));
    const rows4 = quads(rows(x!.spec));
    return [
      dispatch(kernels.packOperand, {
        params: { rows: rows(x!.spec), channels4, rows4, transposed: Number(transposed) },
        bind: { x: x!, w: w! },
        groups: flat(channels4 * rows4, kernels.packOperand.consts.WG),
      }),
    ];
  },
});
