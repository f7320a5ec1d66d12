import { fail } from "../core/fail.ts";
import { JESTER } from "./jester.ts";
import { argmax } from "./top.ts";

const VOTES = 12;

const DOING_OTHER_THINGS = JESTER.indexOf("Doing other things");
const NO_GESTURE = JESTER.indexOf("No gesture");

/** Gestures the demo never shows: too easily seen where there is none. */
const MASKED: ReadonlySet<number> = new Set(
  [
    "Pulling Hand In",
    "Rolling Hand Backward",
    "Rolling Hand Forward",
    "Turning Hand Clockwise",
    "Turning Hand Counterclockwise",
  ].map((label) => JESTER.indexOf(label)),
);

/**
 * Steadies the per-frame logits of an online Jester model into gestures worth showing.
 *
 * The sum of the last 12 logit vectors votes; then masked gestures are dropped, and a new gesture is shown only
 * after the shown one was shown twice. Source: TSM's online demo (tsm-stam.md 4.2), started as its FPGA port starts.
 */
export class GestureFilter {
  readonly #logits: Float64Array[] = [];
  /** The last two shown. The demo keeps 20 and reads no more than these. */
  #shown: readonly [number, number] = [NO_GESTURE, NO_GESTURE];

  /**
   * Takes the next frame's logits [27], TSM order, and returns the index of the gesture to show (see JESTER).
   *
   * @throws `bad-input` for another number of logits, `not-finite` for NaN or infinity; the state is then unchanged
   */
  push(logits: ArrayLike<number>): number {
    if (logits.length !== JESTER.length)
      fail("bad-input", `${logits.length} logits where Jester has ${JESTER.length} gestures; use a Jester model`);
    const next = Float64Array.from(logits);
    if (!next.every(Number.isFinite))
      fail("not-finite", "a logit is NaN or infinite; check the weights and the frame, or reset the session");
    this.#logits.push(next);
    if (this.#logits.length > VOTES) this.#logits.shift();
    return this.refine(argmax(next.map((_, i) => this.#logits.reduce((sum, vector) => sum + vector[i]!, 0))));
  }

  /** The second half of {@link push}: takes the index that won the vote and returns the one to show. */
  refine(index: number): number {
    const [previous, last] = this.#shown;
    let next = MASKED.has(index) ? last : index;
    if (next === DOING_OTHER_THINGS) next = NO_GESTURE;
    if (next !== last && last !== previous) next = last;
    this.#shown = [last, next];
    return next;
  }

  /** Forgets all frames. */
  reset(): void {
    this.#logits.length = 0;
    this.#shown = [NO_GESTURE, NO_GESTURE];
  }
}
