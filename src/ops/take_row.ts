import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, extent, quads, shapeText, storedLength, tensor } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

export interface TakeRowAttrs {
  /** Which row of each sequence, from 0. */
  readonly row: number;
}

/** One row of each sequence: x [sequences, rows, width] -> y [sequences, 1, width]. */
export const takeRow = defineOp<TakeRowAttrs>({
  name: "takeRow",
  takes: ["x"],
  infer({ x }, { row }) {
    if (x!.shape.length !== 3) fail("graph", `a row is taken from [sequences, rows, width], got ${shapeText(x!)}`);
    if (!Number.isInteger(row) || row < 0 || row >= extent(x!, 1))
      fail("graph", `there is no row ${row} among ${extent(x!, 1)}; rows count from 0`);
    return { y: tensor(extent(x!, 0), 1, channels(x!)) };
  },
  lower({ x, y }, { row }) {
    const channels4 = quads(channels(x!.spec));
    const total = storedLength(y!.spec) / 4;
    return [
      dispatch(kernels.takeRow, {
        params: { channels4, rows: extent(x!.spec, 1), row, total },
        bind: { x: x!, y: y! },
        groups: flat(total, kernels.takeRow.consts.WG),
      }),
    ];
  },
});
