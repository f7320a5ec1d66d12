/** How far from its place a frame may come, in frames: cameras are not exact. */
const JITTER = 0.75;

/**
 * Puts a camera's frames into the places of a constant frame rate, so that what is recorded shows at its time, whatever was missed
 * in between.
 */
export class Slots {
  readonly #fps: number;
  /** The place of time 0. */
  #origin = 0;
  #last = Number.NaN;
  #next = 0;

  constructor(fps: number) {
    this.#fps = fps;
  }

  /** How many places before this frame's stay empty; null when it comes too early for a place of its own. `time` in seconds. */
  take(time: number): number | null {
    if (time === this.#last) return null; // shown twice
    // The first frame, or the camera has begun to count anew: nothing is known to be missed.
    if (!(time > this.#last)) this.#origin = this.#next - time * this.#fps;
    this.#last = time;
    const late = this.#origin + time * this.#fps - this.#next;
    if (late <= -JITTER) return null;
    const missed = late < JITTER ? 0 : Math.round(late);
    this.#next += missed + 1;
    return missed;
  }
}
