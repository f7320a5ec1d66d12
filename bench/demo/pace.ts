/** Seconds without a frame after which what was seen before says nothing about what is seen now. */
const GAP = 1;

/** Thins a source to the frame rate that a model was trained for: every n-th frame, n the nearest whole number. */
export class Pace {
  readonly #period: number;
  #seen = Number.NaN;
  #taken = Number.NaN;

  constructor(fps: number) {
    this.#period = 1 / fps;
  }

  /** `fresh`: the first frame, or one after a gap or a jump, before which the model must forget; `skip`: not this one. */
  judge(time: number): "fresh" | "take" | "skip" {
    const interval = time - this.#seen;
    if (interval === 0) return "skip"; // shown twice
    this.#seen = time;
    const fresh = !(interval > 0 && interval < GAP);
    if (!fresh && time - this.#taken + interval / 2 < this.#period) return "skip";
    this.#taken = time;
    return fresh ? "fresh" : "take";
  }
}
