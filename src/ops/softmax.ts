import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, quads, rows } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

/** Softmax over the last axis, in place. */
export const softmax = defineOp<Record<string, never>>({
  name: "softmax",
  takes: ["x"],
  inPlace: { y: "x" },
  infer: ({ x }) => ({ y: x! }),
  lower: ({ y }) => [
    dispatch(kernels.softmax, {
      params: { rows: rows(y!.spec), columns: channels(y!.spec), columns4: quads(channels(y!.spec)) },
      bind: { x: y! },
      groups: flat(rows(y!.spec), kernels.softmax.consts.WG),
    }),
  ],
});
