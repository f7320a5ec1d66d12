import { GestureFilter } from "./gesture.ts";
import { JESTER } from "./jester.ts";
import { argmax, softmax } from "./top.ts";

/** A stretch of time with one label. */
export interface Span {
  /** Seconds. */
  readonly from: number;
  readonly to: number;
  readonly label: string;
  readonly index: number;
  /** Mean probability of the label over the stretch. */
  readonly score: number;
}

/** Frames whose probabilities are averaged before a label is chosen, and how often in a row a new one must win to be shown. */
const WINDOW = 4;
const STEADY = 3;

/**
 * Per-frame logits of an online model -> labelled stretches of time. Jester's labels go through the gesture filter of TSM's
 * demo; others through the mean of the last 4 frames' probabilities. The first label shows when 4 frames were seen (an online
 * model has no past before them), and a change once it has won three times in a row: its span begins with the first of them.
 * Spans are handed out as they end and not kept: a stream may go on for days.
 */
export class SpanTracker {
  readonly #labels: readonly string[] | null;
  readonly #gestures: GestureFilter | null;
  readonly #recent: Float64Array[] = [];
  #shown = -1;
  #start: number | null = null;
  #rival = -1;
  /** Frames in a row that the rival has won: the shown label's, unless the rival takes over. */
  #won: { readonly time: number; readonly scores: Float64Array }[] = [];
  #open: { from: number; sum: number; count: number } = { from: 0, sum: 0, count: 0 };

  constructor(labels: readonly string[] | null) {
    this.#labels = labels;
    this.#gestures =
      labels?.length === JESTER.length && labels.every((label, i) => label === JESTER[i]) ? new GestureFilter() : null;
  }

  /** Takes a frame at `time` seconds; returns the span that has just ended, if the label changed. */
  push(time: number, logits: ArrayLike<number>): Span | null {
    const scores = softmax(logits);
    this.#recent.push(scores);
    if (this.#recent.length > WINDOW) this.#recent.shift();
    this.#start ??= time;
    if (this.#gestures) return this.#take(this.#gestures.push(logits), [{ time, scores }]);
    const favourite = this.#favourite();
    if (this.#shown < 0) {
      if (this.#recent.length < WINDOW) return null;
      return this.#take(favourite, [{ time: this.#start, scores }]);
    }
    if (favourite !== this.#rival) {
      this.#count(this.#shown, this.#won);
      this.#won = [];
      this.#rival = favourite;
    }
    this.#won.push({ time, scores });
    if (favourite !== this.#shown && this.#won.length < STEADY) return null;
    const frames = this.#won;
    this.#won = [];
    return this.#take(favourite, frames);
  }

  /** Shows `index` for these frames; returns the span that ends with the first of them, if the label changed. */
  #take(index: number, frames: readonly { readonly time: number; readonly scores: Float64Array }[]): Span | null {
    const from = frames[0]!.time;
    const ended = index === this.#shown ? null : this.#end(from);
    if (index !== this.#shown) {
      this.#open = { from, sum: 0, count: 0 };
      this.#shown = index;
    }
    this.#count(index, frames);
    return ended;
  }

  #count(index: number, frames: readonly { readonly scores: Float64Array }[]): void {
    for (const { scores } of frames) this.#open.sum += scores[index]!;
    this.#open.count += frames.length;
  }

  /** The label shown now. */
  get current(): { readonly index: number; readonly label: string; readonly from: number } | null {
    return this.#shown < 0 ? null : { index: this.#shown, label: this.#name(this.#shown), from: this.#open.from };
  }

  /** Ends the last span at `time` and returns it; null where no frame was seen. */
  finish(time: number): Span | null {
    // A video too short for a first label gets the one that its frames favour.
    if (this.#shown < 0 && this.#recent.length > 0) {
      this.#shown = this.#favourite();
      const scores = this.#recent.map((row) => row[this.#shown]!);
      this.#open = { from: this.#start!, sum: scores.reduce((a, b) => a + b, 0), count: scores.length };
    }
    this.#count(this.#shown, this.#won);
    const last = this.#end(time);
    this.#shown = -1;
    return last;
  }

  /** The label with the highest mean probability over the recent frames. */
  #favourite(): number {
    return argmax(this.#recent[0]!.map((_, i) => this.#recent.reduce((sum, row) => sum + row[i]!, 0)));
  }

  #end(time: number): Span | null {
    if (this.#shown < 0) return null;
    const { from, sum, count } = this.#open;
    return { from, to: time, label: this.#name(this.#shown), index: this.#shown, score: sum / count };
  }

  #name(index: number): string {
    return this.#labels?.[index] ?? `class ${index}`;
  }
}
