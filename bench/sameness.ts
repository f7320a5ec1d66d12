// How much of a video's codes stays as it is, and what of a network on codes could be left out for it without a change in any number.
import type { CodesClassifier } from "../src/codes_classifier.ts";
import type { Codes, CodesTrack, StoreReader } from "../src/store/index.ts";
import { stepsBetween } from "../src/timeline.ts";

/** Shares, 0 to 1, over the steps that a network reads. */
export interface Sameness {
  /** Sites whose codes are those of the step before. */
  readonly sites: number;
  /** Steps of which every site's are. */
  readonly steps: number;
  /** Places where the first block's output must be the step before's: codes of the 5 x 5 places around did not change for two steps. */
  readonly block: number;
}

/** Places on each side that the first block hears from: 3 x 3, and 3 x 3 of those. A place is a site, or 2 x 2 of them where codes are fine. */
const REACH = 2;

/** Counts over a whole store, one step after the other. */
export async function sameness(
  reader: StoreReader,
  track: CodesTrack,
  classifier: Pick<CodesClassifier, "fps" | "stepsOfTrack">,
): Promise<Sameness> {
  const every = stepsBetween(reader.description, classifier);
  const { stepsOfTrack } = classifier;
  const [rows, columns] = track.grid;
  const sites = rows * columns;
  const [down, across] = [Math.floor(rows / stepsOfTrack), Math.floor(columns / stepsOfTrack)];
  const places = down * across;
  const sum = { steps: 0, sites: 0, whole: 0, block: 0 };
  let before: Codes | null = null;
  let changedBefore = new Uint8Array(places).fill(1);
  for (let step = 0; step + stepsOfTrack <= reader.steps(track.name); step += every) {
    const codes = await reader.read(step, step + stepsOfTrack, track.name);
    const changed = new Uint8Array(sites).fill(before ? 0 : 1);
    if (before) for (let i = 0; i < codes.length; i++) if (codes[i] !== before[i]) changed[i % sites] = 1;
    const seen = new Uint8Array(places);
    for (let row = 0; row < down * stepsOfTrack; row++)
      for (let column = 0; column < across * stepsOfTrack; column++)
        if (changed[row * columns + column])
          seen[Math.floor(row / stepsOfTrack) * across + Math.floor(column / stepsOfTrack)] = 1;
    const either = seen.map((value, i) => value | changedBefore[i]!);
    const anew = either.map((_, i) => (around(either, i, across) ? 1 : 0));
    const count = (flags: Uint8Array) => flags.reduce((total, flag) => total + flag, 0);
    sum.steps++;
    sum.sites += sites - count(changed);
    sum.whole += count(changed) === 0 ? 1 : 0;
    sum.block += places - count(anew);
    [before, changedBefore] = [codes, seen];
  }
  return {
    sites: sum.sites / sum.steps / sites,
    steps: sum.whole / sum.steps,
    block: sum.block / sum.steps / places,
  };
}

/** Whether a place or one within reach of it is flagged. */
function around(flags: Uint8Array, at: number, columns: number): boolean {
  const [x, y] = [at % columns, Math.floor(at / columns)];
  for (let row = Math.max(0, y - REACH); row <= y + REACH && row * columns < flags.length; row++)
    for (let column = Math.max(0, x - REACH); column <= Math.min(columns - 1, x + REACH); column++)
      if (flags[row * columns + column]) return true;
  return false;
}
