// A camera to codes, in real time.
import type { FrameEncoder } from "../../src/compressor.ts";
import type { Codes } from "../../src/store/index.ts";
import { type RgbaFrame, readRgba } from "../../src/video/rgba.ts";
import type { TimedFrame } from "../demo/source.ts";
import { Slots } from "./slots.ts";

export interface LiveOptions {
  readonly fps: number;
  readonly signal: AbortSignal;
  /** Told before each frame how many were missed since the one before. */
  readonly onFrame: (frame: VideoFrame, missed: number) => void;
}

/**
 * Codes of a camera's frames, a step each, at a constant frame rate. What comes while a frame is encoded is passed over: the step before
 * stands in its place, so that every frame shows at its time and nothing piles up.
 * @param encoder of one step a run
 */
export async function* encodeLive(
  next: () => Promise<TimedFrame | null>,
  encoder: FrameEncoder,
  { fps, signal, onFrame }: LiveOptions,
): AsyncGenerator<Codes, void, undefined> {
  const { time } = encoder.shape;
  const slots = new Slots(fps);
  let filled = 0;
  let pixels: RgbaFrame | null = null;
  let codes: Codes | null = null;
  const push = async (frame: RgbaFrame): Promise<Codes | null> => {
    filled = (filled + 1) % time;
    return encoder.push(frame);
  };
  for (;;) {
    const taken = signal.aborted ? null : await next();
    if (!taken) break;
    const missed = slots.take(taken.time);
    const before = pixels;
    try {
      if (missed !== null) onFrame(taken.frame, missed);
      if (missed !== null) pixels = await readRgba(taken.frame);
    } finally {
      taken.frame.close();
    }
    for (let left = missed ?? 0; left > 0 && before && !signal.aborted; ) {
      const whole: boolean = codes !== null && filled === 0 && left >= time;
      if (!whole) codes = (await push(before)) ?? codes;
      if (filled === 0) yield codes!;
      left -= whole ? time : 1;
    }
    if (missed === null || !pixels) continue;
    codes = (await push(pixels)) ?? codes;
    if (filled === 0) yield codes!;
  }
  const rest = pixels && (await encoder.flush(pixels));
  if (rest) yield rest;
}
