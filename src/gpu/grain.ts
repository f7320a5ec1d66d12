// What does a clock count in, and how often must work be repeated before such a clock can tell how long it takes?

/** Grains that a time must be long: it is then off by a thirtieth at most. */
const ENOUGH = 32;
/** What repeats aim at, so that the next look does not find them a little short. */
const AIM = 1.5 * ENOUGH;
/** From a single time to a hundred thousand takes three raises. */
const RAISES = 3;
/** Times that a clock must have told before the grain that they have in common is believed. */
const TELLING = 16;

/** A clock that times pieces of work. */
export interface Timer {
  /** What the clock counts in, ms, as far as its times have shown: that, or a multiple; 0 while they are all the same. */
  grain(): number;
  /** Does each piece so often, one time behind the other, and gives what all of its times took together, ms. */
  run(repeats: readonly number[]): Promise<Float64Array>;
}

/**
 * How often each of `pieces` must be done for its time to be ENOUGH grains of the clock; null for a clock that stands still. Browsers
 * round timestamps, to 0.066 or 0.1 ms: most steps take less on a GPU.
 */
export async function repeatsFor(
  timer: Timer,
  pieces: number,
  signal?: AbortSignal,
): Promise<readonly number[] | null> {
  const repeats: number[] = Array(pieces).fill(1);
  // A grain that is too large would ask for too much: the clock must have told enough before the first raise.
  for (let raise = -TELLING / (pieces + 1); raise < RAISES; raise++) {
    signal?.throwIfAborted();
    const times = await timer.run(repeats);
    const grain = timer.grain();
    if (grain && times.every((ms) => ms >= ENOUGH * grain)) break;
    if (raise < 0) continue;
    if (!grain) return null;
    for (const [i, ms] of times.entries())
      repeats[i] = Math.ceil(repeats[i]! * Math.max(1, (AIM * grain) / Math.max(grain, ms)));
  }
  return repeats;
}

/** The greatest number that both are multiples of; of 0 and another, that other. */
export const commonDivisor = (a: number, b: number): number => (b === 0 ? a : commonDivisor(b, a % b));
