// Flip, rotation, crop, brightness and saturation as the augmentation network is told of them: where each site of the changed picture comes from
// (tools/train/augment_transform.py, which it was trained with).
import { fail } from "./core/fail.ts";
import { DESCRIPTION } from "./models/augment.ts";

/**
 * One affine map about the picture's centre, and two numbers of colour. A place (y, x) of the result, in pixels from the centre, shows the place
 * `matrix` (y, x) + `shift` of the source; a colour becomes grey + `saturation` * (colour - grey) + `brightness`, with colours from 0 to 1.
 */
export interface Transform {
  /** By rows: of y from y and x, of x from y and x. */
  readonly matrix: readonly [number, number, number, number];
  /** In pixels, (y, x). */
  readonly shift: readonly [number, number];
  readonly brightness: number;
  readonly saturation: number;
}

/** What can be done to a picture; in this order. */
export interface Changes {
  /** Mirrors left and right. */
  readonly flip?: boolean | undefined;
  /** Degrees, anticlockwise. */
  readonly rotate?: number | undefined;
  /** Keeps so much of each side, about the centre, and enlarges it. */
  readonly crop?: number | undefined;
  readonly brightness?: number | undefined;
  readonly saturation?: number | undefined;
}

/** What the network was trained on: beyond it nobody knows what comes out. */
const LIMITS = { rotate: [-20, 20], crop: [0.5, 1], brightness: [-0.2, 0.2], saturation: [0.35, 1.5] } as const;
const UNITS = { rotate: " degrees from a quarter turn", crop: "", brightness: "", saturation: "" } as const;

/** @throws "usage" for a change beyond what the network was trained on */
export function transformOf({
  flip = false,
  rotate = 0,
  crop = 1,
  brightness = 0,
  saturation = 1,
}: Changes): Transform {
  const off = rotate - 90 * Math.round(rotate / 90);
  for (const [name, value] of Object.entries({ rotate: off, crop, brightness, saturation })) {
    const [least, most] = LIMITS[name as keyof typeof LIMITS];
    if (!(value >= least && value <= most))
      fail(
        "usage",
        `${name} ${name === "rotate" ? rotate : value} is beyond what the network was trained on, ${least} to ${most}${UNITS[name as keyof typeof LIMITS]}`,
      );
  }
  const turn = (rotate * Math.PI) / 180;
  // Whole quarter turns are whole numbers, so that sites fall on sites.
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)].map((v) => crop * (Math.round(v * 1e12) / 1e12)) as [
    number,
    number,
  ];
  const mirror = flip ? -1 : 1;
  return { matrix: [cos, sin, -sin * mirror, cos * mirror], shift: [0, 0], brightness, saturation };
}

/** Sites a side of a grid, and pixels a side of a site. */
export interface Sites {
  readonly rows: number;
  readonly columns: number;
  readonly side: number;
}

/** Calls `use` with the place of the source that each site of the result shows, in sites from the upper left corner of the grid. */
function eachSource(
  { rows, columns, side }: Sites,
  { matrix: [a, b, c, d], shift }: Transform,
  use: (site: number, row: number, column: number) => void,
): void {
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const [y, x] = [row + 0.5 - rows / 2, column + 0.5 - columns / 2];
      use(
        row * columns + column,
        a * y + b * x + shift[0] / side + rows / 2,
        c * y + d * x + shift[1] / side + columns / 2,
      );
    }
}

const clamp = (value: number, most: number): number => Math.min(Math.max(value, 0), most);

/** Vectors [rows * columns, channels] of a step at the places that the sites of the result show: bilinear, beyond the edge the edge. */
export function resampled(vectors: Float32Array, channels: number, sites: Sites, transform: Transform): Float32Array {
  const { rows, columns } = sites;
  const out = new Float32Array(vectors.length);
  eachSource(sites, transform, (site, row, column) => {
    const [y, x] = [clamp(row - 0.5, rows - 1), clamp(column - 0.5, columns - 1)];
    const [top, left] = [Math.floor(y), Math.floor(x)];
    const [down, right] = [Math.min(top + 1, rows - 1), Math.min(left + 1, columns - 1)];
    const [v, u] = [y - top, x - left];
    const at = (r: number, c: number, channel: number) => vectors[(r * columns + c) * channels + channel]!;
    for (let channel = 0; channel < channels; channel++)
      out[site * channels + channel] =
        (1 - v) * ((1 - u) * at(top, left, channel) + u * at(top, right, channel)) +
        v * ((1 - u) * at(down, left, channel) + u * at(down, right, channel));
  });
  return out;
}

/** What the network reads of each site, [rows * columns, 8]: the matrix, how far its place is from the nearest site of the source, the colours. */
export function described(sites: Sites, transform: Transform): Float32Array {
  const { rows, columns } = sites;
  const out = new Float32Array(rows * columns * DESCRIPTION);
  const colours = [4 * transform.brightness, Math.log2(Math.max(transform.saturation, 0.25))];
  // A place on the border of two sites belongs to the second, whatever rounding says.
  const off = (place: number, count: number) => place - clamp(Math.floor(place + 1e-9), count - 1) - 0.5;
  eachSource(sites, transform, (site, row, column) => {
    const offsets = [off(row, rows), off(column, columns)].map((value) => Math.min(Math.max(value, -2), 2));
    out.set([...transform.matrix, ...offsets, ...colours], site * DESCRIPTION);
  });
  return out;
}
