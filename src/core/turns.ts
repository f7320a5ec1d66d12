/** Calls that take effect one behind the other, awaited or not. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Nothing that was called before is still to be done. */
  get idle(): boolean {
    return this.#waiting === 0;
  }

  /** Does the work behind everything that was called before, which may have failed. */
  take<T>(work: () => T | Promise<T>): Promise<T> {
    this.#waiting++;
    const turn = this.#last.then(work).finally(() => this.#waiting--);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
