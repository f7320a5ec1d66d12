const REDRAW_MS = 80;
const BAR_WIDTH = 24;

/** A progress bar. */
export interface Progress {
  /** Shows `label` and how much of it is done, 0 to 1; drawn at most every 80 ms, except the first and the last. */
  update(label: string, fraction: number): void;
  /** Takes the bar off the screen, before other output or at the end; `update` brings it back. */
  clear(): void;
}

/** The part of a terminal stream that is used. */
export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** A bar on a terminal; an object that does nothing where `stream` is a file or a pipe, or the terminal is "dumb". */
export function createProgress(stream: Terminal, now: () => number = () => performance.now()): Progress {
  if (!stream.isTTY || process.env.TERM === "dumb") return { update: () => {}, clear: () => {} };
  let drawn = "";
  let label = "";
  let time = Number.NEGATIVE_INFINITY;
  return {
    update(next, fraction) {
      const done = Math.min(1, Math.max(0, fraction || 0));
      if (next === label && done < 1 && now() - time < REDRAW_MS) return;
      label = next;
      time = now();
      const line = bar(label, done, (stream.columns ?? 80) - 1);
      if (line !== drawn) stream.write(`\r${line}\x1b[K`);
      drawn = line;
    },
    clear() {
      if (drawn) stream.write("\r\x1b[K");
      drawn = "";
      label = "";
    },
  };
}

function bar(label: string, fraction: number, columns: number): string {
  const full = Math.round(fraction * BAR_WIDTH);
  const percent = `${Math.floor(fraction * 100)}%`.padStart(4);
  return `${"█".repeat(full)}${"░".repeat(BAR_WIDTH - full)} ${percent} ${label}`.slice(0, Math.max(0, columns));
}

/** What a page reports of a call, a phase and how much of it is done, given to `update`. */
export const reported =
  (update: (phase: string, fraction: number) => void) =>
  (value: unknown): void => {
    const { phase, fraction } = value as { phase: string; fraction: number };
    update(phase, fraction);
  };
