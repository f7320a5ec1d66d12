import { type Placement, type Preprocessing, turnMap } from "./geometry.ts";

/** PIL keeps 8 bits for the value and 2 for the sum; the rest of 32 hold the weight's fraction. */
const FRACTION_BITS = 22;
const ONE = 1 << FRACTION_BITS;
const HALF = 1 << (FRACTION_BITS - 1);

/**
 * The weights of one axis. Row o of `rows` is [first, count, weight 0, ..., weight taps-1] for output o: output o is
 * the sum of weight j * input[first + j] over `count` taps, in units of 2^-22; weights past `count` are zero.
 */
export interface AxisTable {
  readonly outputs: number;
  /** Most taps of any output. A row has 2 + taps numbers. */
  readonly taps: number;
  readonly rows: Int32Array<ArrayBuffer>;
}

/** The outputs of an axis that are wanted: `count` of them from `first`, last one first where `reversed`. */
export interface Span {
  readonly first: number;
  readonly count: number;
  readonly reversed?: boolean;
}

/**
 * PIL's antialiased bilinear filter along one axis, `inputs` pixels to `outputs`, only the outputs in `span`.
 *
 * A triangle whose half width is max(1, inputs / outputs) input pixels, cut at the borders, normalised to sum 1 in
 * f64 and rounded to 22-bit fixed point. Source: Pillow's 8-bit resampling, checked bit for bit.
 */
export function axisTable(inputs: number, outputs: number, span: Span = { first: 0, count: outputs }): AxisTable {
  const scale = inputs / outputs;
  const support = Math.max(1, scale);
  const windows = Array.from({ length: span.count }, (_, i) => {
    const output = span.first + (span.reversed ? span.count - 1 - i : i);
    const centre = (output + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(inputs, Math.trunc(centre + support + 0.5)) - first;
    return { first, count, weights: triangle(first, count, centre, support) };
  });
  const taps = Math.max(...windows.map((window) => window.count));
  const rows = new Int32Array(span.count * (2 + taps));
  windows.forEach(({ first, count, weights }, i) => {
    rows.set([first, count, ...weights], i * (2 + taps));
  });
  return { outputs: span.count, taps, rows };
}

function triangle(first: number, count: number, centre: number, support: number): number[] {
  // PIL multiplies by the reciprocal; dividing instead would differ in the last bit.
  const perPixel = 1 / support;
  const weights = Array.from({ length: count }, (_, j) =>
    Math.max(0, 1 - Math.abs((j + first - centre + 0.5) * perPixel)),
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => Math.trunc(0.5 + (weight / sum) * ONE));
}

/** The two tables that produce a placement's crop: one row an output column, one row an output row. */
export function cropTables({ upright, scaled, crop, flip }: Placement): { columns: AxisTable; rows: AxisTable } {
  return {
    columns: axisTable(upright.width, scaled.width, { first: crop.left, count: crop.width, reversed: flip }),
    rows: axisTable(upright.height, scaled.height, { first: crop.top, count: crop.height }),
  };
}

/**
 * Turns, scales, crops and mirrors a frame as PIL does, on the CPU: the oracle of `kernels/frame_reference.wgsl`.
 *
 * The horizontal pass is rounded to 8 bits, then the vertical pass is.
 * @param pixels RGBA bytes [height, width, 4] of the stored frame
 * @returns RGB bytes [crop height, crop width, 3]
 */
export function cropPil(pixels: Uint8Array | Uint8ClampedArray, placement: Placement): Uint8Array {
  const { columns, rows } = cropTables(placement);
  const { column0, columnX, columnY, row0, rowX, rowY } = turnMap(placement);
  const { source, upright } = placement;
  const narrow = new Uint8Array(upright.height * columns.outputs * 3);
  for (let y = 0; y < upright.height; y++) {
    const at = (x: number) => (row0 + x * rowX + y * rowY) * source.width + column0 + x * columnX + y * columnY;
    for (let x = 0; x < columns.outputs; x++)
      for (let c = 0; c < 3; c++)
        narrow[(y * columns.outputs + x) * 3 + c] = filter(columns, x, (tap) => pixels[at(tap) * 4 + c]!);
  }
  const out = new Uint8Array(rows.outputs * columns.outputs * 3);
  const pitch = columns.outputs * 3;
  for (let y = 0; y < rows.outputs; y++)
    for (let i = 0; i < pitch; i++) out[y * pitch + i] = filter(rows, y, (tap) => narrow[tap * pitch + i]!);
  return out;
}

function filter(table: AxisTable, output: number, input: (index: number) => number): number {
  const base = output * (2 + table.taps);
  const first = table.rows[base]!;
  const count = table.rows[base + 1]!;
  let sum = HALF;
  for (let j = 0; j < count; j++) sum += table.rows[base + 2 + j]! * input(first + j);
  return Math.min(255, sum >> FRACTION_BITS);
}

/**
 * Bytes to the network's input: (byte / 255 - mean) / std in f32, channels last, the fourth lane zero.
 *
 * @param rgb [pixels, 3]
 * @returns [pixels, 4]
 */
export function normalise(rgb: Uint8Array, { mean, std }: Pick<Preprocessing, "mean" | "std">): Float32Array {
  const out = new Float32Array((rgb.length / 3) * 4);
  for (let i = 0; i < rgb.length; i++) {
    const c = i % 3;
    const centred = Math.fround(Math.fround(rgb[i]! / 255) - Math.fround(mean[c]!));
    out[Math.floor(i / 3) * 4 + c] = centred / Math.fround(std[c]!);
  }
  return out;
}
