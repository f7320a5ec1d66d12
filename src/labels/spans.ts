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

/** Frames whose probabilities are averaged before a label is chosen, and how often a new one must win to be shown. */
const WINDOW = 4;
const STEADY = 2;

/**
 * Per-frame logits of an online model -> labelled stretches of time. Jester's labels go through the gesture filter of TSM's
 * demo; others through the mean of the last 4 frames' probabilities, and a change shows once it has won twice in a row.
 */
export class SpanTracker {
  readonly #labels: readonly string[] | null;
  readonly #gestures: GestureFilter | null;
  readonly #recent: Float64Array[] = [];
  readonly #spans: Span[] = [];
  #shown = -1;
  #rival = { index: -1, wins: 0 };
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
    const index = this.#gestures
      ? this.#gestures.push(logits)
      : this.#steady(argmax(scores.map((_, i) => this.#recent.reduce((sum, s) => sum + s[i]!, 0))));
    const ended = index === this.#shown ? null : this.#end(time);
    if (index !== this.#shown) {
      this.#shown = index;
      this.#open = { from: time, sum: 0, count: 0 };
    }
    this.#open.sum += scores[index]!;
    this.#open.count++;
    return ended;
  }

  /** The label shown now. */
  get current(): { readonly index: number; readonly label: string; readonly from: number } | null {
    return this.#shown < 0 ? null : { index: this.#shown, label: this.#name(this.#shown), from: this.#open.from };
  }

  /** Ends the last span at `time` and returns all of them. */
  finish(time: number): readonly Span[] {
    this.#end(time);
    this.#shown = -1;
    return this.#spans;
  }

  #steady(index: number): number {
    if (this.#shown < 0 || index === this.#shown) {
      this.#rival = { index: -1, wins: 0 };
      return index;
    }
    this.#rival = { index, wins: index === this.#rival.index ? this.#rival.wins + 1 : 1 };
    return this.#rival.wins >= STEADY ? index : this.#shown;
  }

  #end(time: number): Span | null {
    if (this.#shown < 0) return null;
    const { from, sum, count } = this.#open;
    const span = { from, to: time, label: this.#name(this.#shown), index: this.#shown, score: sum / count };
    this.#spans.push(span);
    return span;
  }

  #name(index: number): string {
    return this.#labels?.[index] ?? `class ${index}`;
  }
}
