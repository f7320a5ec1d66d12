// The frame that is pointed at.
import type { FrameDecoder } from "../../src/compressor.ts";
import { codesPerStep } from "../../src/store/description.ts";
import type { Codes, CodesTrack, StoreDescription } from "../../src/store/index.ts";
import { Turns } from "./turns.ts";

export type Rgba = Uint8ClampedArray<ArrayBuffer>;

/** What is decoded first: where a person points, what is being recorded, the pictures of the strip. */
const [POINTED, LIVE, STRIP] = [0, 1, 2];
/** For one part of time spent on showing what is recorded, so many are left to recording it. */
const REST = 3;

export interface PlayerOptions {
  readonly decoder: FrameDecoder;
  readonly description: StoreDescription;
  /** The one that the decoder reads. */
  readonly track: CodesTrack;
  /** Codes of steps `from` to `to` - 1. */
  readonly read: (from: number, to: number) => Promise<Codes>;
  /** Shows a frame: its pixels. */
  readonly show: (pixels: Rgba) => void;
  /** Told when position, number of frames, playing or following change. */
  readonly changed: () => void;
  readonly complain: (error: unknown) => void;
}

/** Decodes the frames of one store, one run at a time. Pointing somewhere else replaces what has not begun. */
export class Player {
  readonly description: StoreDescription;
  /** Frames a second. */
  readonly fps: number;
  readonly #options: PlayerOptions;
  readonly #turns = new Turns();
  /** Frames of the step that was decoded last. */
  #decoded: { readonly step: number; readonly frames: readonly Rgba[] } | null = null;
  #frames = 0;
  #position = 0;
  #growing = false;
  #following = false;
  /** Where and when playing began. */
  #playing: { readonly from: number; readonly at: number } | null = null;
  #timer = 0;
  /** What was recorded last, and no picture of the next before this time. */
  #newest: Codes | null = null;
  #rested = 0;
  #closed = false;

  constructor(options: PlayerOptions) {
    this.#options = options;
    this.description = options.description;
    this.fps = options.description.fps[0] / options.description.fps[1];
  }

  get frames(): number {
    return this.#frames;
  }

  /** Codes of a step. */
  get codesPerStep(): number {
    return codesPerStep(this.#options.track);
  }

  /** The frame that is shown, or will be as soon as it is decoded. */
  get position(): number {
    return this.#position;
  }

  get playing(): boolean {
    return this.#playing !== null;
  }

  /** The store is being recorded. */
  get growing(): boolean {
    return this.#growing;
  }

  /** The newest frame of a recording is shown as it comes. */
  get following(): boolean {
    return this.#following;
  }

  /** The store has so many steps now. */
  grow(steps: number): void {
    this.#frames = steps * this.#options.track.stride[0];
    if (this.#following) this.#position = Math.max(0, this.#frames - 1);
    this.#options.changed();
  }

  /** A recording begins: its frames are shown as they are encoded, until another is pointed at, and again when the last is. */
  begin(): void {
    this.#growing = true;
    this.#following = true;
    this.#options.changed();
  }

  /** The recording is over. */
  end(): void {
    this.#growing = false;
    this.#following = false;
    this.#options.changed();
  }

  /** Goes to a frame and shows it. */
  point(frame: number): void {
    this.#position = Math.max(0, Math.min(frame, this.#frames - 1));
    this.#following = this.#growing && this.#position === this.#frames - 1;
    if (this.#playing) this.#playing = { from: this.#position, at: performance.now() };
    this.peek(this.#position);
    this.#options.changed();
  }

  /** Shows a frame and stays where it is. */
  peek(frame: number): void {
    if (this.#frames === 0) return;
    this.#ask(POINTED, async () => this.#show(await this.#frame(frame)));
  }

  /** Plays at the video's speed; where that is too fast for the adapter, frames are left out. From the end it begins anew. */
  play(): void {
    if (this.#frames === 0) return;
    const from = this.#position >= this.#frames - 1 ? 0 : this.#position;
    this.#following = false;
    this.#playing = { from, at: performance.now() };
    this.#options.changed();
    let free = true;
    const tick = () => {
      if (!this.#playing) return;
      this.#timer = requestAnimationFrame(tick);
      if (!free) return;
      free = false;
      const seconds = (performance.now() - this.#playing.at) / 1000;
      const due = Math.min(this.#playing.from + Math.floor(seconds * this.fps), this.#frames - 1);
      this.#position = due;
      this.#ask(POINTED, async () => this.#show(await this.#frame(due))).then(() => {
        free = true;
      });
      if (due < this.#frames - 1) return this.#options.changed();
      this.#following = this.#growing;
      this.pause();
    };
    cancelAnimationFrame(this.#timer);
    tick();
  }

  pause(): void {
    this.#playing = null;
    this.#options.changed();
  }

  /** Shows the last step of codes that were just encoded, if that is wanted and there is time for it. */
  live(codes: Codes): void {
    // A camera's missed steps are the same codes again.
    if (!this.#following || codes === this.#newest || performance.now() < this.#rested) return;
    this.#newest = codes;
    this.#ask(LIVE, async () => {
      const began = performance.now();
      const frames = await this.#decode(codes.slice(-this.codesPerStep));
      if (this.#following) this.#show(frames.at(-1)!);
      const now = performance.now();
      this.#rested = now + REST * (now - began);
    });
  }

  /** A frame for the strip, when nothing else is to be done; null where it cannot be had. */
  async picture(frame: number): Promise<Rgba | null> {
    let pixels: Rgba | null = null;
    const job = async () => {
      pixels = await this.#frame(frame);
    };
    await this.#turns.ask(STRIP, job).catch(() => {}); // whoever points there is told why
    return this.#closed ? null : pixels;
  }

  /** Ends everything and lets the decoder go. */
  dispose(): void {
    this.#closed = true;
    this.#playing = null;
    this.#following = false;
    this.#turns.clear();
    this.#options.decoder.dispose();
  }

  async #ask(priority: number, job: () => Promise<void>): Promise<void> {
    try {
      await this.#turns.ask(priority, job);
    } catch (error) {
      if (this.#closed) return;
      this.pause();
      this.#options.complain(error);
    }
  }

  #show(pixels: Rgba): void {
    if (!this.#closed) this.#options.show(pixels);
  }

  /** A frame of the store, with the steps before it that its decoder needs. */
  async #frame(frame: number): Promise<Rgba> {
    const { track, read } = this.#options;
    const [time] = track.stride;
    const step = Math.floor(frame / time);
    if (this.#decoded?.step !== step) {
      const codes = await read(Math.max(0, step - (track.warmUp ?? 0)), step + 1);
      this.#decoded = { step, frames: (await this.#decode(codes)).slice(-time) };
    }
    return this.#decoded.frames[frame % time]!;
  }

  async #decode(codes: Codes): Promise<Rgba[]> {
    const frames: Rgba[] = [];
    for await (const pixels of this.#options.decoder.frames(codes)) frames.push(pixels);
    return frames;
  }
}
