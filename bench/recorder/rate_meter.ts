/** What a rate is taken over, in milliseconds. */
const WINDOW = 3000;

/** How fast a count grows, over the last seconds: from its last value before them to the newest. */
export class RateMeter {
  #points: { readonly at: number; readonly count: number }[] = [];

  /** Takes the count at `at` milliseconds; returns its growth a second, 0 while there is one value only. */
  add(count: number, at: number): number {
    this.#points.push({ at, count });
    while (this.#points.length > 2 && at - this.#points[1]!.at >= WINDOW) this.#points.shift();
    const first = this.#points[0]!;
    return at > first.at ? (1000 * (count - first.count)) / (at - first.at) : 0;
  }
}
