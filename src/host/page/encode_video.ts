// A video file to codes, run by run: what `kinema compress` and the recorder's page share.
import type { FrameEncoder } from "../../compressor.ts";
import type { Codes } from "../../store/index.ts";
import type { Video } from "../../video/decode.ts";
import { type RgbaFrame, readRgba } from "../../video/rgba.ts";

export interface EncodeVideoOptions {
  /** Code step to begin with; 0 when absent. */
  readonly from?: number;
  /** Ends the video early: the frames that were read so far are encoded. */
  readonly signal?: AbortSignal;
  /** Sees each frame, as stored, before it is encoded. */
  readonly onFrame?: (frame: VideoFrame) => void;
}

/** Codes of every frame, [steps, codebooks, rows, columns]; the last frame fills up the last run. */
export async function* encodeVideo(
  video: Pick<Video, "frameCount" | "rotation" | "flip" | "frames">,
  encoder: FrameEncoder,
  { from = 0, signal, onFrame }: EncodeVideoOptions = {},
): AsyncGenerator<Codes, void, undefined> {
  const first = from * encoder.shape.time;
  const indices = Array.from({ length: Math.max(0, video.frameCount - first) }, (_, i) => first + i);
  const { rotation, flip } = video;
  let pixels: RgbaFrame | null = null;
  for await (const { frame } of video.frames(indices)) {
    if (signal?.aborted) break;
    pixels = await readRgba(frame);
    onFrame?.(frame);
    const codes = await encoder.push(pixels, { rotation, flip });
    if (codes) yield codes;
  }
  const rest = pixels && (await encoder.flush(pixels, { rotation, flip }));
  if (rest) yield rest;
}
