import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, quads, rows, shapeText, tensor } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

/**
 * The features of a stream's last frames, oldest first: x [1, 1, width] is the newest, y [1, frames, width] all of them.
 * `state` [frames + 1, width] keeps them, and in its last row a mark that it has been filled: at the first frame after a
 * reset every slot takes that frame.
 */
export const history = defineOp<Record<string, never>>({
  name: "history",
  takes: ["x", "state"],
  infer({ x, state }) {
    const width = channels(x!);
    if (rows(x!) !== 1) fail("graph", `a history takes one frame at a time, got ${shapeText(x!)}`);
    if (state!.shape.length !== 2 || channels(state!) !== width || rows(state!) < 2)
      fail(
        "graph",
        `the state ${shapeText(state!)} must be [frames + 1, ${width}], a row for the mark behind the frames`,
      );
    return { y: tensor(1, rows(state!) - 1, width) };
  },
  lower({ x, state, y }) {
    const channels4 = quads(channels(x!.spec));
    return [
      dispatch(kernels.history, {
        params: { channels4, frames: rows(y!.spec) },
        bind: { x: x!, state: state!, y: y! },
        groups: flat(channels4, kernels.history.consts.WG),
      }),
    ];
  },
});
