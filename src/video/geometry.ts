import type { mat3 } from "gl-matrix";
import { fromValues, scale, translate } from "gl-matrix/esm/mat3.js";
import { fail } from "../core/fail.ts";

/** Clockwise turn, in degrees, that a stored frame needs before it is shown. */
export type Rotation = 0 | 90 | 180 | 270;

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** How a frame becomes a network input. Every field has TSM's value by default. */
export interface Preprocessing {
  /** Length of the short side after scaling, in pixels. */
  readonly resize: number;
  /** PIL's filter. `bicubic` is exact in the ingest's reference form; its fast form scales with a triangle either way. */
  readonly filter?: "bilinear" | "bicubic";
  /** Side of the square cut from the centre, in pixels. */
  readonly crop: number;
  /** Per channel, on the scale 0 to 1: y = (x - mean) / std. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** TSM and torchvision: short side 256, centre crop 224, ImageNet mean and standard deviation. */
export const IMAGENET: Preprocessing = {
  resize: 256,
  crop: 224,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

/** TensorFlow's MobileNetV2: the same geometry, values from -1 to 1. */
export const MINUS_ONE_TO_ONE: Preprocessing = { ...IMAGENET, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

/** Where the crop lies, in whole pixels. The frame is turned, then scaled, then cropped, then mirrored. */
export interface Placement {
  /** As stored, before the turn. */
  readonly source: Size;
  readonly rotation: Rotation;
  readonly filter: "bilinear" | "bicubic";
  /** The crop is mirrored left to right. */
  readonly flip: boolean;
  /** After the turn, before scaling. */
  readonly upright: Size;
  /** After scaling. */
  readonly scaled: Size;
  /** In pixels of the scaled frame. */
  readonly crop: Size & { readonly left: number; readonly top: number };
}

/**
 * Places the centre crop: the short side becomes `resize`, the long side trunc(resize * long / short), and the
 * crop's offset is (side - crop) / 2 rounded half to even, as Python rounds. Source: TSM's test transforms.
 *
 * @param source size of the stored frame in pixels
 * @param rotation clockwise turn before it is shown
 * @param flip whether the crop is mirrored
 * @throws `bad-video` for a frame without pixels, `usage` for a crop that does not fit
 */
export function place(
  source: Size,
  pipeline: Preprocessing = IMAGENET,
  rotation: Rotation = 0,
  flip = false,
): Placement {
  const { resize, crop, filter = "bilinear" } = pipeline;
  if (!isExtent(source.width) || !isExtent(source.height))
    fail("bad-video", `a frame of ${source.width} x ${source.height} pixels cannot be scaled; give at least 1 x 1`);
  if (!isExtent(resize) || !isExtent(crop))
    fail("usage", `resize ${resize} and crop ${crop} are lengths in pixels; give whole numbers of at least 1`);
  if (crop > resize) fail("usage", `crop ${crop} does not fit in the short side ${resize}; give crop <= resize`);
  const upright = rotation % 180 === 0 ? source : { width: source.height, height: source.width };
  const scaled = scaleShortSide(upright, resize);
  const left = roundHalfEven((scaled.width - crop) / 2);
  const top = roundHalfEven((scaled.height - crop) / 2);
  return { source, rotation, filter, flip, upright, scaled, crop: { left, top, width: crop, height: crop } };
}

/** The affine map from the centre of an output pixel (x + 0.5, y + 0.5, 1) to source coordinates from 0 to 1. */
export function toSourceMatrix({ rotation, flip, scaled, crop }: Placement): mat3 {
  const m = turn(rotation);
  scale(m, m, [1 / scaled.width, 1 / scaled.height]);
  translate(m, m, [crop.left, crop.top]);
  if (flip) {
    translate(m, m, [crop.width, 0]);
    scale(m, m, [-1, 1]);
  }
  return m;
}

/**
 * Where a pixel of the upright frame lies in the stored frame: column = column0 + x * columnX + y * columnY, and
 * row likewise. All six are whole numbers.
 */
export interface TurnMap {
  readonly column0: number;
  readonly columnX: number;
  readonly columnY: number;
  readonly row0: number;
  readonly rowX: number;
  readonly rowY: number;
}

/** The pixel map of a turn, for the kernel that computes in whole pixels. */
export function turnMap({ source, rotation }: Pick<Placement, "source" | "rotation">): TurnMap {
  const m = turn(rotation);
  const [columnX, rowX, columnY, rowY] = [m[0], m[1], m[3], m[4]];
  // A coordinate that runs backwards starts at the last pixel.
  const column0 = columnX + columnY < 0 ? source.width - 1 : 0;
  const row0 = rowX + rowY < 0 ? source.height - 1 : 0;
  return { column0, columnX, columnY, row0, rowX, rowY };
}

/** Upright coordinates from 0 to 1 -> stored coordinates from 0 to 1, written out so that every entry is exact. */
function turn(rotation: Rotation): mat3 {
  if (rotation === 0) return fromValues(1, 0, 0, 0, 1, 0, 0, 0, 1);
  if (rotation === 90) return fromValues(0, -1, 0, 1, 0, 0, 0, 1, 1);
  if (rotation === 180) return fromValues(-1, 0, 0, 0, -1, 0, 1, 1, 1);
  if (rotation === 270) return fromValues(0, 1, 0, -1, 0, 0, 1, 0, 1);
  return fail("bad-video", `rotation ${rotation} is not a quarter turn; give 0, 90, 180 or 270 degrees`);
}

function scaleShortSide({ width, height }: Size, side: number): Size {
  return width <= height
    ? { width: side, height: Math.trunc((side * height) / width) }
    : { width: Math.trunc((side * width) / height), height: side };
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

function isExtent(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}
