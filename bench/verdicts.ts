// What an hour of video, and an hour of its codes, must show, held against what was measured.
import type { HourReport } from "./hour.ts";
import type { ArmTiming } from "./pixel_arms.ts";

export interface Verdict {
  readonly wanted: string;
  readonly found: string;
  readonly met: boolean;
}

/** Bytes that the last tenth may have more than the first, in each part of the memory. */
const GROWTH = 1e6;
/** Times as long as from codes that a class must take from pixels. */
const FASTER = 3;
/** How far a packed file may be from the computed size, what rANS saves of it at least, and milliseconds that finding a second takes at most. */
const [OFF, SAVED, SEEK] = [0.01, 0.25, 50];

export const inWords = ({ wanted, found, met }: Verdict): string => `${met ? "met" : "not met"}: ${wanted}; ${found}`;

/** Of the largest samples of the first and of the last tenth, part by part. */
export function flatMemory<Parts extends object>({
  first,
  last,
}: {
  readonly first: Parts;
  readonly last: Parts;
}): Verdict {
  const grown = (Object.keys(first) as (keyof Parts & string)[]).map((part) => ({
    part,
    bytes: Number(last[part]) - Number(first[part]),
  }));
  return {
    wanted: `memory flat: last tenth at most ${GROWTH / 1e6} MB above the first`,
    found: grown.map(({ part, bytes }) => `${part} ${bytes < 0 ? "" : "+"}${(bytes / 1e6).toFixed(3)} MB`).join(", "),
    met: grown.every(({ bytes }) => bytes <= GROWTH),
  };
}

/** By wall clock: that is what waits. Processor time says whether other programs had a part in it; a GPU's work is not in it. */
export function fasterThanPixels(pixels: ArmTiming): Verdict {
  return {
    wanted: `codes -> class at least ${FASTER} x faster than ${pixels.name}`,
    found: `${pixels.ratio.ms.toFixed(2)} x by wall clock (${pixels.ratio.cpu.toFixed(2)} x in processor time)`,
    met: pixels.ratio.ms >= FASTER,
  };
}

/** Of an hour of video: its sizes, its memory and its seeks. A run that encoded nothing has no memory to judge, and does not meet that one. */
export function ofTheHour({ bytes, memory, seeks }: Pick<HourReport, "bytes" | "memory" | "seeks">): Verdict[] {
  const off = Math.abs(bytes.packed - bytes.computed) / bytes.computed;
  const saved = 1 - bytes.rans / bytes.packed;
  const longest = Math.max(...seeks.map(({ found }) => found));
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  return [
    { wanted: "packed within 1 % of the computed size", found: percent(off), met: off <= OFF },
    { wanted: "rANS at least 25 % smaller than packed", found: percent(saved), met: saved >= SAVED },
    memory ? flatMemory(memory) : { wanted: "memory flat", found: "nothing was encoded", met: false },
    { wanted: "a second found within 50 ms, undecoded", found: `${longest.toFixed(1)} ms`, met: longest <= SEEK },
  ];
}
