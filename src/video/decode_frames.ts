import { type InputVideoTrack, type VideoSample, VideoSampleSink } from "mediabunny";
import { fail, KinemaError } from "../core/fail.ts";
import type { Rotation } from "./geometry.ts";

/** A decoded frame. It belongs to the iterator, which closes it when the next one is asked for: `clone()` to keep it. */
export interface DecodedFrame {
  /** Zero-based, in presentation order. */
  readonly index: number;
  /** Seconds. */
  readonly timestamp: number;
  /** As stored: apply {@link Video.rotation}, then {@link Video.flip}. */
  readonly frame: VideoFrame;
  readonly rotation: Rotation;
}

/** A decoder that gives nothing for so long will not; a frame takes well under a second on any machine. */
const STALL_MS = 60_000;

/** What {@link decodeFrames} decodes. */
export interface Decoding {
  readonly track: InputVideoTrack;
  readonly name: string;
  readonly timestamps: readonly number[];
  readonly rotation: Rotation;
  readonly signal: AbortSignal | undefined;
}

/**
 * Decodes the frames named by `indices`, each once, and yields them in increasing order, repeats included. Every frame
 * is closed when the next is asked for, and all are when the iterator is left.
 */
export async function* decodeFrames(
  decoding: Decoding,
  indices: readonly number[],
): AsyncGenerator<DecodedFrame, void, undefined> {
  const { track, name, timestamps, rotation } = decoding;
  const wrong = indices.find((index) => !Number.isInteger(index) || index < 0 || index >= timestamps.length);
  if (wrong !== undefined)
    fail("usage", `${name} has frames 0 to ${timestamps.length - 1}; frame ${wrong} was asked for`);
  const times = new Map<number, number>();
  for (const index of indices) times.set(index, (times.get(index) ?? 0) + 1);
  const wanted = [...times.keys()].sort((a, b) => a - b);
  const samples = new VideoSampleSink(track).samplesAtTimestamps(wanted.map((index) => timestamps[index]!));
  let waiting = false;
  try {
    for (const index of wanted) {
      waiting = true;
      const sample = await next(samples, decoding, index);
      waiting = false;
      const frame = sample.toVideoFrame();
      sample.close();
      try {
        for (let i = times.get(index)!; i > 0; i--) yield { index, timestamp: timestamps[index]!, frame, rotation };
      } finally {
        frame.close();
      }
    }
  } finally {
    // A return queues behind a request that is stalled: then it is left to itself.
    const returned = samples.return();
    if (waiting) returned.catch(() => {});
    else await returned;
  }
}

/** The sample of frame `index`, or a typed error that says why there is none. */
async function next(
  samples: AsyncGenerator<VideoSample | null>,
  decoding: Decoding,
  index: number,
): Promise<VideoSample> {
  const { name, timestamps, signal } = decoding;
  const what = `${name}: frame ${index} of ${timestamps.length} cannot be decoded`;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stalled = new Promise<never>((_, reject) => {
    const error = new KinemaError("bad-video", `${what}; the decoder gave nothing for ${STALL_MS / 1000} s`);
    timer = setTimeout(() => reject(error), STALL_MS);
  });
  try {
    const { value: sample } = await Promise.race([samples.next(), stalled]);
    // After damage a decoder leaves a frame out and the one before stands in for it.
    if (sample && nearest(timestamps, sample.timestamp) === index) return sample;
    sample?.close();
    return fail("bad-video", `${what}; the file is damaged or cut off, export it again`);
  } catch (error) {
    throw explain(error, signal, what);
  } finally {
    clearTimeout(timer);
  }
}

function nearest(timestamps: readonly number[], timestamp: number): number {
  let [low, high] = [0, timestamps.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((timestamps[middle]! + timestamps[middle + 1]!) / 2 >= timestamp) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** What is thrown for `error`: an abort's reason, a typed error as it is, anything else as a bad video. */
export function explain(error: unknown, signal: AbortSignal | undefined, what: string): unknown {
  if (signal?.aborted) return signal.reason;
  if (error instanceof KinemaError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new KinemaError("bad-video", `${what}: ${reason.split("\n")[0]}`, {}, error);
}
