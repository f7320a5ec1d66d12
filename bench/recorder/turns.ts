interface Waiting {
  readonly job: () => Promise<void>;
  readonly resolve: (done: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** Jobs, one at a time. Of each priority only the newest waits: asking fast queues nothing up, and the last one is always done. */
export class Turns {
  readonly #waiting = new Map<number, Waiting>();
  #busy = false;

  /**
   * Does the job when its turn comes; of those that wait, the one with the lowest number is next.
   * @returns true once it is done, false when a newer one of the same priority took its place; rejects with what it throws
   */
  ask(priority: number, job: () => Promise<void>): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.get(priority)?.resolve(false);
      this.#waiting.set(priority, { job, resolve, reject });
      if (!this.#busy) void this.#work();
    });
  }

  /** Drops all that waits. */
  clear(): void {
    for (const { resolve } of this.#waiting.values()) resolve(false);
    this.#waiting.clear();
  }

  async #work(): Promise<void> {
    this.#busy = true;
    while (this.#waiting.size > 0) {
      const priority = Math.min(...this.#waiting.keys());
      const { job, resolve, reject } = this.#waiting.get(priority)!;
      this.#waiting.delete(priority);
      await job().then(() => resolve(true), reject);
    }
    this.#busy = false;
  }
}
