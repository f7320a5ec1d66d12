import type { Measured, ProfileReport } from "../profile.ts";

const BAR = 16;
/** Wider names are cut in the middle. */
const WIDEST = 44;

/** A profile as tables: every step, every kernel variant, the sum, and the ceilings. */
export function profileTable(report: ProfileReport): string {
  const { steps, variants, total, ms, ceilings, clock, runs } = report;
  const head = ["ms", "share", "", "GFLOP/s", "GB/s", "bound", "reached", "load-aware"];
  const most = (list: readonly Measured[]) => Math.max(...list.map(({ share }) => share));
  const all: Row = { ...total, name: "sum", detail: "" };
  const stepRows = steps.map((step): Row => ({ ...step, name: cut(step.node), detail: cut(step.kernel) }));
  const variantRows = variants.map((variant): Row => {
    return { ...variant, name: variant.kernel, detail: String(variant.dispatches) };
  });
  const half = ceilings.halfFlops ? `, ${fixed(ceilings.halfFlops / 1e9)} in f16` : "";
  const times =
    clock === "timestamps"
      ? "GPU timestamps around a pass a step"
      : "wall time of a submit a step, less an empty submit's";
  return [
    `${report.model} [${report.input.join(", ")}] ${report.dtype}${report.random ? ", random weights" : ""}, on ${report.adapter}`,
    "",
    ...table(["node", "kernel", ...head], [...stepRows, all], most(steps)),
    "",
    ...table(["kernel", "steps", ...head], variantRows, most(variants)),
    "",
    `times    ${times}, median of ${runs}${coarse(report)}`,
    `run      ${fixed(ms.plain)} ms as it is; step by step ${fixed(ms.profiled)} ms, of which ${fixed(ms.steps)} ms in the steps`,
    `ceilings ${fixed(ceilings.flops / 1e9)} GFLOP/s in registers (fma)${half}, ${fixed(ceilings.loads / 1e9)} G loads/s of 16 bytes from cache (load), ${fixed(ceilings.bytes / 1e9)} GB/s to and from memory (copy)`,
    "reached  the least time that the nearest ceiling leaves / the time taken; load-aware: with loads and multiply-adds in turns, as a processor does them; -: in arithmetic whose ceiling is not measured",
    "",
  ].join("\n");
}

/** What is to be said of a clock that needed repeats. */
function coarse({ grainMs, steps }: ProfileReport): string {
  const most = Math.max(...steps.map(({ repeats }) => repeats));
  if (most <= 1) return "";
  const repeated = steps.filter(({ repeats }) => repeats > 1).length;
  const grain = grainMs < 1 ? `${fixed(1000 * grainMs)} us` : `${fixed(grainMs)} ms`;
  return `; the clock counts in ${grain}, so ${repeated} of ${steps.length} steps were repeated, up to ${most} times, for a time of one`;
}

interface Row extends Measured {
  readonly name: string;
  readonly detail: string;
}

/** Three digits, whatever the size. */
function fixed(value: number): string {
  if (!Number.isFinite(value)) return "-";
  return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

const rate = (amount: number, ms: number): string => (amount > 0 && ms > 0 ? fixed(amount / ms / 1e6) : "-");

const percent = (share: number | null): string => (share === null ? "-" : `${(100 * share).toFixed(1)}%`);

/** A share of the largest share as a bar; what is not nothing shows. */
function bar(share: number, most: number): string {
  const eighths = most > 0 ? Math.round((share / most) * BAR * 8) : 0;
  const full = Math.floor(eighths / 8);
  const rest = eighths % 8 || (eighths === 0 && share > 0 ? 1 : 0);
  return `${"█".repeat(full)}${rest ? "▏▎▍▌▋▊▉"[rest - 1] : ""}`;
}

const cut = (text: string): string =>
  text.length <= WIDEST ? text : `${text.slice(0, WIDEST / 2 - 1)}..${text.slice(1 - WIDEST / 2)}`;

/** Columns as wide as they need; texts to the left, numbers to the right. */
function table(head: readonly string[], rows: readonly Row[], most: number): string[] {
  const cells = rows.map((row) => [
    row.name,
    row.detail,
    row.ms.toFixed(3),
    percent(row.share),
    row.name === "sum" ? "" : bar(row.share, most),
    rate(2 * row.macs, row.ms),
    rate(row.bytes, row.ms),
    row.bound ?? "-",
    percent(row.reached),
    percent(row.loadAware),
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)));
  const texts = new Set([0, 1, 4, 7]);
  return [head, ...cells].map((row) =>
    row
      .map((cell, i) => (texts.has(i) ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
}
