import { fail } from "../core/fail.ts";

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
