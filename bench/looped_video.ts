// Clips in a loop as one video of any length, each time cut, mirrored and lit otherwise, so that no two rounds have the same codes.
import { openVideo, type Video } from "../src/video/decode.ts";
import type { DecodedFrame } from "../src/video/decode_frames.ts";

export interface Clip {
  readonly name: string;
  readonly url: string;
}

/** Frames of a clip before the next one's turn. */
const SHOT = 250;

/** A shot: frames of one clip, and what is done to them. */
interface Shot {
  readonly clip: Clip;
  /** Frames of the whole video before it, and in it. */
  readonly first: number;
  readonly frames: number;
  readonly flip: boolean;
  /** Side of the square that is kept, of the largest there is, and where it is in the room that leaves, 0 to 1. */
  readonly zoom: number;
  readonly x: number;
  readonly y: number;
  readonly brightness: number;
}

export class LoopedVideo implements Pick<Video, "frameCount" | "rotation" | "flip" | "frames"> {
  readonly frameCount: number;
  readonly rotation = 0;
  readonly flip = false;
  readonly #clips: readonly Clip[];
  readonly #counts: readonly number[];
  readonly #canvas: OffscreenCanvas;

  private constructor(clips: readonly Clip[], counts: readonly number[], frames: number, size: number) {
    this.#clips = clips;
    this.#counts = counts;
    this.frameCount = frames;
    this.#canvas = new OffscreenCanvas(size, size);
  }

  /** Frames of `size` x `size` pixels. Throws what openVideo throws. */
  static async open(clips: readonly Clip[], frames: number, size: number): Promise<LoopedVideo> {
    const counts: number[] = [];
    for (const { url } of clips) {
      using video = await openVideo(url);
      counts.push(Math.min(SHOT, video.frameCount));
    }
    return new LoopedVideo(clips, counts, frames, size);
  }

  /** Frames without a gap between the first and the last index. Each is closed when the next is asked for. */
  async *frames(indices: readonly number[]): AsyncGenerator<DecodedFrame, void, undefined> {
    for (let index = indices[0]!, end = indices.at(-1)! + 1; index < end; ) {
      const shot = this.#shotAt(index);
      using video = await openVideo(shot.clip.url);
      const from = index - shot.first;
      const wanted = Array.from({ length: Math.min(shot.frames, end - shot.first) - from }, (_, i) => from + i);
      for await (const { frame } of video.frames(wanted)) {
        const shown = this.#shown(frame, shot, index);
        try {
          yield { index, timestamp: shown.timestamp / 1e6, frame: shown, rotation: 0 };
        } finally {
          shown.close();
        }
        index++;
      }
    }
  }

  #shotAt(index: number): Shot {
    const round = this.#counts.reduce((sum, count) => sum + count, 0);
    const loop = Math.floor(index / round);
    let [first, number] = [loop * round, 0];
    while (index >= first + this.#counts[number]!) first += this.#counts[number++]!;
    const frames = this.#counts[number]!;
    const clip = this.#clips[number]!;
    // The fractional parts of multiples of irrational numbers: spread evenly, the same for the same shot.
    const spread = (factor: number) => ((loop * this.#clips.length + number) * factor) % 1;
    const [zoom, brightness] = [1 - 0.4 * spread(Math.SQRT2), 0.75 + 0.5 * spread(Math.E)];
    return { clip, first, frames, zoom, brightness, flip: loop % 2 === 1, x: spread(Math.PI), y: spread(Math.LN2) };
  }

  #shown(frame: VideoFrame, { flip, zoom, x, y, brightness }: Shot, index: number): VideoFrame {
    const { width } = this.#canvas;
    const context = this.#canvas.getContext("2d", { willReadFrequently: true })!;
    const { displayWidth, displayHeight } = frame;
    const side = zoom * Math.min(displayWidth, displayHeight);
    context.filter = `brightness(${brightness})`;
    context.setTransform(flip ? -1 : 1, 0, 0, 1, flip ? width : 0, 0);
    context.drawImage(
      frame,
      ...([x * (displayWidth - side), y * (displayHeight - side), side, side, 0, 0, width, width] as const),
    );
    return new VideoFrame(this.#canvas, { timestamp: index * 40_000 });
  }
}
