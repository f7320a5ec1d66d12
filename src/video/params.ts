import { type Placement, type Preprocessing, toSourceMatrix, turnMap } from "./geometry.ts";
import { cropTables } from "./pil.ts";

/** Params of `kernels/frame_fast.wgsl` for one frame; `slot` is the frame's place in the clip tensor. */
export function fastParams(placement: Placement, { mean, std }: Pick<Preprocessing, "mean" | "std">, slot = 0) {
  const { width, height } = placement.crop;
  return {
    width,
    height,
    first: slot * width * height,
    ...tapGrid(placement),
    to_source: Array.from(toSourceMatrix(placement)),
    mean: [...mean],
    deviation: [...std],
  };
}

/**
 * The grid of sampler taps that stands in for PIL's triangle, which is `scale` source pixels wide on each side.
 *
 * Taps a source pixel and a half apart are close enough, with the sampler's own triangle between them, to leave no
 * gap. The reach makes variances equal: scale^2 / 6 = 1 / 6 (the sampler's) + reach^2 * variance of the grid.
 */
function tapGrid({ upright, scaled }: Placement): { taps: number; reach: number } {
  const scale = Math.min(upright.width, upright.height) / Math.min(scaled.width, scaled.height);
  if (scale <= 1) return { taps: 1, reach: 0 };
  const taps = 1 + Math.ceil(0.75 * scale);
  const offsets = Array.from({ length: taps }, (_, i) => (2 * i + 1) / taps - 1);
  const total = offsets.reduce((sum, o) => sum + (1 - Math.abs(o)), 0);
  const variance = offsets.reduce((sum, o) => sum + (1 - Math.abs(o)) * o * o, 0) / total;
  return { taps, reach: Math.sqrt((scale * scale - 1) / 6 / variance) / scale };
}

/** Params and tables of `kernels/frame_reference.wgsl` for one frame; `slot` is its place in the clip tensor. */
export function referenceParams(placement: Placement, { mean, std }: Pick<Preprocessing, "mean" | "std">, slot = 0) {
  const { width, height } = placement.crop;
  const { columns, rows } = cropTables(placement);
  const turn = turnMap(placement);
  const params = {
    width,
    height,
    column_taps: columns.taps,
    line_taps: rows.taps,
    first: slot * width * height,
    turn_column: turn.column0,
    turn_column_x: turn.columnX,
    turn_column_y: turn.columnY,
    turn_row: turn.row0,
    turn_row_x: turn.rowX,
    turn_row_y: turn.rowY,
    mean: [...mean],
    deviation: [...std],
  };
  return { params, columns: columns.rows, lines: rows.rows };
}
