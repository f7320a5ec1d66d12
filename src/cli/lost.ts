// What of a store cannot be read, said in seconds of its video.
import { fail, KinemaError } from "../core/fail.ts";
import { framesPerStep, secondsOf, type Track } from "../store/description.ts";
import { type LostSteps, openStore, type StoreReader } from "../store/index.ts";
import type { LostTime } from "../timeline.ts";
import type { ByteSource } from "../weights/byte_source.ts";
import { printable } from "./printable.ts";
import { formatTime } from "./time.ts";

/** Opens a store; what is damaged of the file's own structures is said in a line. */
export async function openNoted(source: ByteSource, note: (line: string) => void): Promise<StoreReader> {
  const reader = await openStore(source);
  const { faults, frames, description } = reader;
  if (faults.length > 0)
    note(
      `${source.name} is damaged: ${faults.join(", ")}; it is read up to ${formatTime(secondsOf(description, frames))} (kinema info lists what is lost)`,
    );
  return reader;
}

/** Lost steps of a track as seconds. */
export function lostTime({ description }: StoreReader, track: Track, { first, steps }: LostSteps): LostTime {
  const at = (step: number) => secondsOf(description, step * framesPerStep(track));
  return { from: at(first), to: steps === null ? null : at(first + steps) };
}

/** "0:00:02.00 to 0:00:03.00"; of an end that nothing tells any more "0:00:02.00 to an unknown end". */
export const lostText = ({ from, to }: LostTime): string =>
  `${formatTime(from)} to ${to === null ? "an unknown end" : formatTime(to)}`;

const MOST = 4;

/** Lost times in a line. */
export function lostLine(times: readonly LostTime[]): string {
  const more = times.length > MOST ? ` and ${times.length - MOST} more` : "";
  return `${times.slice(0, MOST).map(lostText).join(", ")}${more}`;
}

/** Does what needs every step of a store's part; where one is lost, it fails with all that are, and what to do. */
export async function needingAll<T>(
  reader: StoreReader,
  file: string,
  advice: string,
  task: () => Promise<T>,
): Promise<T> {
  try {
    return await task();
  } catch (error) {
    const track = error instanceof KinemaError ? error.details.track : undefined;
    const described = reader.description.tracks.find(({ name }) => name === track);
    if (!described) throw error;
    const times = (await reader.check(described.name)).map((lost) => lostTime(reader, described, lost));
    if (times.length === 0) throw error;
    return fail(
      "bad-file",
      `${file}: of ${printable(described.name)} ${lostLine(times)} cannot be read; ${advice}`,
      {},
      error,
    );
  }
}
