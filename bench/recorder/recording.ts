// A recording: frames of an input to codes, codes to the store.
import type { FrameEncoder } from "../../src/compressor.ts";
import type { Codes } from "../../src/store/index.ts";
import type { Input } from "./inputs.ts";
import { RateMeter } from "./rate_meter.ts";
import type { Extent } from "./store_worker.ts";

/** How far a recording is. */
export interface Progress extends Extent {
  /** Frames that were encoded a second, over the last seconds. */
  readonly fps: number;
  /** Frames of the recording that repeat the one before: what belonged there came too late, or while another was encoded. */
  readonly dropped: number;
  /** Frames that the recording has, committed or not. */
  readonly frames: number;
}

export interface RecordOptions {
  /** Ends the recording in good order. */
  readonly signal: AbortSignal;
  append(codes: Codes): Promise<Extent>;
  /** Sees the codes of each run, before they are stored. */
  onCodes(codes: Codes): void;
  onProgress(progress: Progress): void;
}

/**
 * Records `input` until it ends or `signal` says so. One run is encoded while the one before is written: no more is in memory.
 * @param each codes of a step
 */
export async function record(input: Input, encoder: FrameEncoder, each: number, options: RecordOptions): Promise<void> {
  const meter = new RateMeter();
  let [taken, dropped, frames] = [0, 0, 0];
  const onFrame = (_: VideoFrame, missed: number) => {
    taken++;
    dropped += missed;
  };
  meter.add(0, performance.now());
  let written: Promise<void> = Promise.resolve();
  for await (const codes of input.codes(encoder, { signal: options.signal, onFrame })) {
    options.onCodes(codes);
    frames += (codes.length / each) * encoder.shape.time;
    const state = { frames, dropped, fps: meter.add(taken, performance.now()) };
    await written;
    written = options.append(codes).then((extent) => options.onProgress({ ...state, ...extent }));
    written.catch(() => {}); // it is awaited, by then the input may have failed
  }
  await written;
}
