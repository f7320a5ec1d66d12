import { type Reading, stagingBuffers } from "./record.ts";

/** Runs that may wait to be read back at one time. */
const RUNS = 3;

/** Staging buffers of a run, and the reading of the last run that used them, which settles and never fails. */
interface Slot {
  readonly staging: readonly GPUBuffer[];
  read: Promise<unknown>;
}

/** Staging buffers of the runs that are under way: the next run need not wait until one is read, and answers come in the order of runs. */
export class Ring {
  readonly #slots: readonly Slot[];
  /** Runs that were submitted. */
  #runs = 0;

  constructor(device: GPUDevice, readings: readonly Reading[]) {
    this.#slots = Array.from({ length: RUNS }, () => ({
      staging: stagingBuffers(device, readings),
      read: Promise.resolve(),
    }));
  }

  /** The buffers for the next run, once the run that had them is read. */
  async free(): Promise<readonly GPUBuffer[]> {
    const { staging, read } = this.#slots[this.#runs % RUNS]!;
    await read;
    return staging;
  }

  /** The answers of the run that was just submitted, behind those of the run before it, whichever is read first. */
  answers<T>(read: () => Promise<T>): Promise<T> {
    const before = this.#slots[(this.#runs + RUNS - 1) % RUNS]!.read;
    const answers = read().then(async (result) => {
      await before;
      return result;
    });
    this.#slots[this.#runs++ % RUNS]!.read = answers.then(
      () => {}, // keeps no answer alive
      () => {},
    );
    return answers;
  }

  destroy(): void {
    for (const { staging } of this.#slots) for (const buffer of staging) buffer.destroy();
  }
}
