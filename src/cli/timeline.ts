import type { Second } from "../timeline.ts";
import { percent } from "./spans.ts";
import { formatTime } from "./time.ts";

/** What is kept of a second for the strip. */
export type Shown = Pick<Second, "from" | "to" | "label" | "change">;

/** Columns of the strip at most. */
const COLUMNS = 60;
const MOST_CHANGES = 8;

/** Seconds as a strip of letters, a mark below each change, and what the letters mean. */
export function timelineLines(seconds: readonly Shown[]): string[] {
  if (seconds.length === 0) return [];
  const shares = counted(seconds);
  const letters = lettersOf([...shares.keys()]);
  const each = Math.ceil(seconds.length / COLUMNS);
  const columns = Array.from({ length: Math.ceil(seconds.length / each) }, (_, i) =>
    seconds.slice(i * each, (i + 1) * each),
  );
  const strip = columns.map((part) => letters.get([...counted(part).keys()][0]!)!).join("");
  const changes = seconds.filter(({ change }) => change);
  const marks = columns.map((part) => (part.some(({ change }) => change) ? "^" : " ")).join("");
  const start = formatTime(seconds[0]!.from);
  const legend = [...shares].map(
    ([label, count]) => `${percent(count / seconds.length)}  ${letters.get(label)} ${label}`,
  );
  const times = changes.slice(0, MOST_CHANGES).map(({ from }) => formatTime(from));
  const more = changes.length > MOST_CHANGES ? ` and ${changes.length - MOST_CHANGES} more (--json lists all)` : "";
  return [
    `${start} ${strip} ${formatTime(seconds.at(-1)!.to)}`,
    ...(changes.length > 0 ? [`${" ".repeat(start.length)} ${marks}`.trimEnd()] : []),
    ...legend,
    changes.length > 0 ? `changes at ${times.join(", ")}${more}` : "no change stands out",
  ];
}

/** How often each label is there, the most frequent first. */
function counted(seconds: readonly Shown[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { label } of seconds) counts.set(label, (counts.get(label) ?? 0) + 1);
  return new Map([...counts].sort(([, a], [, b]) => b - a));
}

/** A letter for each label: the first of its own that no more frequent label has, else any. */
function lettersOf(labels: readonly string[]): Map<string, string> {
  const taken = new Map<string, string>();
  for (const label of labels) {
    const candidates = `${label.toLowerCase().replace(/[^a-z]/g, "")}abcdefghijklmnopqrstuvwxyz0123456789`;
    const letter = [...candidates].find((candidate) => ![...taken.values()].includes(candidate)) ?? "?";
    taken.set(label, letter);
  }
  return taken;
}
