import { fail } from "../core/fail.ts";
import type { Arguments, Flag } from "./command.ts";

/** The flags of a command that takes a part of a video. */
export const RANGE_FLAGS: readonly Flag[] = [
  { name: "from", value: "TIME", text: "where the part begins, in seconds or h:m:s (default 0)" },
  { name: "to", value: "TIME", text: "where it ends (default: the end)" },
];

/** What {@link RANGE_FLAGS} say, in seconds; without --to there is no end. Throws `usage`. */
export function rangeOf(args: Arguments): { readonly from: number; readonly to: number } {
  const [from, to] = [args.text("from") ?? "0", args.text("to")];
  const range = {
    from: parseTime(from, "from"),
    to: to === undefined ? Number.POSITIVE_INFINITY : parseTime(to, "to"),
  };
  if (range.to <= range.from) fail("usage", `--to ${to} is not after --from ${from}`);
  return range;
}

/** Reads a time of a video: seconds, or [h:]m:s, each with decimals or not; in seconds. Throws `usage`. */
export function parseTime(text: string, flag: string): number {
  const parts = /^(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,9}(?:\.\d{1,9})?)$/.exec(text);
  if (!parts) return fail("usage", `--${flag} ${text} is no time; give seconds (90.5) or h:m:s (1:02:03)`);
  const [hours, minutes, seconds] = parts.slice(1).map((part) => Number(part ?? 0));
  return (hours! * 60 + minutes!) * 60 + seconds!;
}

/** Seconds as h:mm:ss.ss. */
export function formatTime(seconds: number): string {
  const hundredths = Math.round(seconds * 100);
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  const minutes = Math.floor(hundredths / 6000);
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two((hundredths % 6000) / 100)}.${two(hundredths % 100)}`;
}
