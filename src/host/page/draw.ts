// The picture of `kinema classify --explain`: the frames with what the network looked at over them, and their weights.
import { fail } from "../../core/fail.ts";
import type { Explanation } from "../../explain.ts";
import { type Preprocessing, place } from "../../video/geometry.ts";
import { overlay } from "../../video/heat.ts";
import type { Orientation, Pixels } from "../../video/ingest.ts";
import { cropPil } from "../../video/pil.ts";

/** A frame as the network sees it: RGB bytes [side, side, 3]. */
export interface Shown {
  readonly side: number;
  readonly rgb: Uint8Array;
}

/** Turns, scales and crops a frame as the ingest does. */
export function show(frame: Pixels, preprocessing: Preprocessing, { rotation, flip }: Orientation): Shown {
  const size = { width: frame.width, height: frame.height };
  const placement = place(size, preprocessing, rotation, flip);
  return { side: placement.crop.width, rgb: cropPil(frame.data, placement) };
}

const COLUMNS = 4;
const GAP = 8;
/** Height of a bar and of the number beside it, in pixels. */
const BAR = 14;
/** Width that is left for the number. */
const NUMBER = 52;

/** A PNG: frames in order, row by row, heat over each; below each a bar, full for the heaviest frame, and its share. */
export async function draw(
  shown: readonly Shown[],
  { patches, frames }: Explanation,
): Promise<Uint8Array<ArrayBuffer>> {
  const { side } = shown[0]!;
  const columns = Math.min(COLUMNS, shown.length);
  const below = frames ? BAR + GAP : 0;
  const width = GAP + columns * (side + GAP);
  const height = GAP + Math.ceil(shown.length / columns) * (side + below + GAP);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d") ?? fail("unsupported", "this browser has no 2D canvas to draw on");
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  const count = patches.length / shown.length;
  const rows = Math.round(Math.sqrt(count)); // the network's frames are square
  const most = frames ? Math.max(...frames) : 1;
  context.font = `${BAR}px sans-serif`;
  context.textBaseline = "middle";
  for (const [i, { rgb }] of shown.entries()) {
    const left = GAP + (i % columns) * (side + GAP);
    const top = GAP + Math.floor(i / columns) * (side + below + GAP);
    const grid = patches.subarray(i * count, (i + 1) * count);
    context.putImageData(new ImageData(overlay(rgb, side, grid, rows, count / rows), side, side), left, top);
    if (!frames) continue;
    const room = Math.max(1, side - NUMBER);
    context.fillStyle = "#333";
    context.fillRect(left, top + side + GAP / 2, room, BAR);
    context.fillStyle = "#fde725";
    context.fillRect(left, top + side + GAP / 2, (room * frames[i]!) / most, BAR);
    context.fillStyle = "#fff";
    context.fillText(`${(100 * frames[i]!).toFixed(1)} %`, left + room + 4, top + side + GAP / 2 + BAR / 2 + 1);
  }
  return new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
}
