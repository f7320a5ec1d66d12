import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, quads, rows, shapeText, storedLength } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

export interface AddRowsAttrs {
  /** First row of `into` that takes part, counted over all its extents but the last. */
  readonly at: number;
}

/** Sums rows in place: y[at + r] = into[at + r] + x[r]; `into` [..., width], x [..., width]; y takes over `into`'s memory. */
export const addRows = defineOp<AddRowsAttrs>({
  name: "addRows",
  takes: ["into", "x"],
  inPlace: { y: "into" },
  infer({ into, x }, { at }) {
    if (channels(into!) !== channels(x!))
      fail("graph", `rows of ${channels(x!)} channels cannot be added to rows of ${channels(into!)}`);
    if (!Number.isInteger(at) || at < 0 || at + rows(x!) > rows(into!))
      fail(
        "graph",
        `${rows(x!)} rows from row ${at} do not fit ${shapeText(into!)}, which has ${rows(into!)}; rows count from 0`,
      );
    return { y: into! };
  },
  lower({ x, y }, { at }) {
    const total = storedLength(x!.spec) / 4;
    return [
      dispatch(kernels.addRows, {
        params: { first: at * quads(channels(x!.spec)), total },
        bind: { x: x!, y: y! },
        groups: flat(total, kernels.addRows.consts.WG),
      }),
    ];
  },
});
