/** From a track and a step to the chunk that holds it. */
import type { ByteSource } from "../weights/byte_source.ts";
import type { Entry, Page } from "./layout.ts";
import { type Log, readPage } from "./log.ts";

/** Finds the first chunk of a track that ends after a step; null behind the last. */
export type Seek = (track: number, step: number) => Promise<Entry | null>;

const PAGES_KEPT = 64;

/** An index page turned out to be damaged. */
export class PageLost extends Error {}

/**
 * Seeks through the index pages, O(log n) of them: from the last page back along the farthest pointers that do not pass
 * the step. A page's pointers of level k lead to the last page before it whose number 2^k divides, so levels only fall.
 * Throws PageLost.
 */
export function pagedSeek(source: ByteSource, log: Log): Seek {
  const kept = new Map<number, Page>();
  const load = async (offset: number, before: Page): Promise<Page> => {
    const page = kept.get(offset) ?? (await readPage(source, offset, log));
    if (!page || page.number >= before.number) return lost();
    kept.delete(offset);
    kept.set(offset, page); // the latest used is the last to go
    if (kept.size > PAGES_KEPT) kept.delete(kept.keys().next().value!);
    return page;
  };
  return async (track, step) => {
    let page = log.page;
    if (!page || step >= pageEnd(page, track)) return firstAfter(log.tail, track, step);
    let level = page.back.length - 1;
    while (page.starts[track]! > step) {
      const offset: number | undefined = page.back[Math.min(level, page.back.length - 1)];
      const earlier: Page = await load(offset ?? lost(), page);
      if (earlier.starts[track]! > step || level === 0) page = earlier;
      else level--;
    }
    return firstAfter(page.entries, track, step) ?? lost();
  };
}

function lost(): never {
  throw new PageLost();
}

/** Seeks in a list of all chunks in the order of the file. */
export function listSeek(entries: readonly Entry[], tracks: number): Seek {
  const lists = Array.from({ length: tracks }, (_, track) => entries.filter((entry) => entry.track === track));
  return async (track, step) => {
    const list = lists[track]!;
    let [low, high] = [0, list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle]!.first + list[middle]!.steps > step) high = middle;
      else low = middle + 1;
    }
    return list[low] ?? null;
  };
}

const firstAfter = (entries: readonly Entry[], track: number, step: number): Entry | null =>
  entries.find((entry) => entry.track === track && entry.first + entry.steps > step) ?? null;

function pageEnd(page: Page, track: number): number {
  const last = page.entries.findLast((entry) => entry.track === track);
  return last ? last.first + last.steps : page.starts[track]!;
}
