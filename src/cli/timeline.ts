import type { LostTime, Second } from "../timeline.ts";
import { lostText } from "./lost.ts";
import { percent } from "./spans.ts";
import { formatTime } from "./time.ts";

/** What is kept of a second for the strip. */
export type Shown = Pick<Second, "number" | "from" | "to" | "label" | "change">;

/** What stands for a second that is lost. */
const LOST = "-";

/** Columns of the strip at most. */
const COLUMNS = 60;
const MOST_CHANGES = 8;

/** Seconds as a strip of letters, lost ones as dashes, a mark below each change, what the letters mean, and which times are lost. */
export function timelineLines(seconds: readonly Shown[], lost: readonly LostTime[] = []): string[] {
  if (seconds.length === 0) return [];
  const shares = counted(seconds);
  const letters = lettersOf([...shares.keys()]);
  const all = withLost(seconds, lost);
  const each = Math.ceil(all.length / COLUMNS);
  const columns = Array.from({ length: Math.ceil(all.length / each) }, (_, i) =>
    all.slice(i * each, (i + 1) * each).flatMap((one) => one ?? []),
  );
  const strip = columns.map((part) => letters.get([...counted(part).keys()][0] ?? "") ?? LOST).join("");
  const changes = seconds.filter(({ change }) => change);
  const marks = columns.map((part) => (part.some(({ change }) => change) ? "^" : " ")).join("");
  const start = formatTime(Math.min(seconds[0]!.from, ...lost.map(({ from }) => from)));
  const end = formatTime(Math.max(seconds.at(-1)!.to, ...lost.map(({ to }) => to ?? 0)));
  const legend = [...shares].map(
    ([label, count]) => `${percent(count / seconds.length)}  ${letters.get(label)} ${label}`,
  );
  const times = changes.slice(0, MOST_CHANGES).map(({ from }) => formatTime(from));
  const more = changes.length > MOST_CHANGES ? ` and ${changes.length - MOST_CHANGES} more (--json lists all)` : "";
  return [
    `${start} ${strip} ${end}`,
    ...(changes.length > 0 ? [`${" ".repeat(start.length)} ${marks}`.trimEnd()] : []),
    ...legend,
    ...lost.map((one) => `${LOST} lost: ${lostText(one)}`),
    changes.length > 0 ? `changes at ${times.join(", ")}${more}` : "no change stands out",
  ];
}

/** Seconds, and null for each that is lost as a whole. */
function withLost(seconds: readonly Shown[], lost: readonly LostTime[]): (Shown | null)[] {
  const all: (Shown | null)[] = [];
  const leaveOut = (count: number, from: number, to: number) => {
    if (lost.some((one) => one.from < to && (one.to ?? to) > from)) for (let i = 0; i < count; i++) all.push(null);
  };
  let [next, time] = [0, 0];
  for (const one of seconds) {
    leaveOut(one.number - next, time, one.from);
    all.push(one);
    [next, time] = [one.number + 1, one.to];
  }
  const end = lost.at(-1)?.to ?? 0;
  leaveOut(Math.ceil((next * (end - time)) / time - 1e-6), time, end);
  return all;
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
