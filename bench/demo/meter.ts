/** Milliseconds of the stages of a frame. */
export interface Stages {
  /** From asking for a frame to having it. */
  readonly wait: number;
  /** Import, recording and submit, on the CPU. */
  readonly submit: number;
  /** From there to the logits. */
  readonly gpu: number;
}

/** Means over the last seconds. */
export interface Rates extends Stages {
  readonly fps: number;
}

const WINDOW_MS = 2000;
const EVERY_MS = 500;

/** Frames a second and the mean time of each stage. */
export class Meter {
  #frames: (Stages & { readonly at: number })[] = [];
  #told = 0;

  /** Takes a finished frame; twice a second returns the means of the last two seconds, else null. */
  add(stages: Stages): Rates | null {
    const at = performance.now();
    this.#frames = [...this.#frames, { ...stages, at }].filter((frame) => at - frame.at <= WINDOW_MS);
    const span = at - this.#frames[0]!.at;
    if (at - this.#told < EVERY_MS || span === 0) return null;
    this.#told = at;
    const mean = (of: (frame: Stages) => number) =>
      this.#frames.reduce((sum, frame) => sum + of(frame), 0) / this.#frames.length;
    return {
      fps: (1000 * (this.#frames.length - 1)) / span,
      wait: mean(({ wait }) => wait),
      submit: mean(({ submit }) => submit),
      gpu: mean(({ gpu }) => gpu),
    };
  }
}
