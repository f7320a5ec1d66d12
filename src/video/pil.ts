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

/** A filter of PIL's: its half width at scale 1, in pixels, and its value at a distance from the centre. */
interface Filter {
  readonly reach: number;
  readonly at: (distance: number) => number;
}

/** Bicubic is Keys' with a = -0.5 (Keys, Cubic convolution interpolation for digital image processing, equation 15). */
const FILTERS: Readonly<Record<Placement["filter"], Filter>> = {
  bilinear: { reach: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    reach: 2,
    at: (signed) => {
      const x = Math.abs(signed);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
    },
  },
};

/**
 * PIL's antialiased filter along one axis, `inputs` pixels to `outputs`, only the outputs in `span`.
 *
 * The filter is as many times as wide as the axis shrinks, cut at the borders, normalised to sum 1 in f64 and rounded to
 * 22-bit fixed point. Source: Pillow's 8-bit resampling, checked bit for bit.
 */
export function axisTable(
  inputs: number,
  outputs: number,
  span: Span = { first: 0, count: outputs },
  filter: Placement["filter"] = "bilinear",
): AxisTable {
  const { reach, at } = FILTERS[filter];
  const scale = inputs / outputs;
  const wider = Math.max(1, scale);
  const support = reach * wider;
  const windows = Array.from({ length: span.count }, (_, i) => {
    const output = span.first + (span.reversed ? span.count - 1 - i : i);
    const centre = (output + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(inputs, Math.trunc(centre + support + 0.5)) - first;
    // PIL multiplies by the reciprocal; dividing instead would differ in the last bit.
    return { first, count, weights: fixedPoint(count, (j) => at((j + first - centre + 0.5) * (1 / wider))) };
  });
  const taps = Math.max(...windows.map((window) => window.count));
  const rows = new Int32Array(span.count * (2 + taps));
  windows.forEach(({ first, count, weights }, i) => {
    rows.set([first, count, ...weights], i * (2 + taps));
  });
  return { outputs: span.count, taps, rows };
}

/** Weights scaled to sum 1, in units of 2^-22, halves away from zero. */
function fixedPoint(count: number, at: (tap: number) => number): number[] {
  const weights = Array.from({ length: count }, (_, j) => at(j));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => Math.trunc((weight < 0 ? -0.5 : 0.5) + (weight / sum) * ONE));
}

/** The two tables that produce a placement's crop: one row an output column, one row an output row. */
export function cropTables(placement: Placement): { columns: AxisTable; rows: AxisTable } {
  const { upright, scaled, crop, flip, filter } = placement;
  const columns = { first: crop.left, count: crop.width, reversed: flip };
  return {
    columns: axisTable(upright.width, scaled.width, columns, filter),
    rows: axisTable(upright.height, scaled.height, { first: crop.top, count: crop.height }, filter),
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
  return Math.max(0, Math.min(255, sum >> FRACTION_BITS));
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
