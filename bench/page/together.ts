// Reports side by side: two, before and after; all that are on record, adapter by adapter.
import { compareReports, type KernelTiming, type ModelTiming, type Report, type Result } from "../report.ts";
import { type Bar, type BarChart, colourOf, inMs, timeText } from "./bar_chart.ts";
import { showBars } from "./charts.ts";
import { element, numbers, section, tableOf } from "./elements.ts";
import { minute, percent, runtimeOf, showReport } from "./view.ts";

/** Before and after, the older one first. Bars are times, so shorter is better; each row to its own scale. */
export function showComparison(one: Report, two: Report): HTMLElement[] {
  const [before, after] = one.date <= two.date ? [one, two] : [two, one];
  const { changes, notes } = compareReports(before, after);
  const verdict = (ratio: number) =>
    ratio >= 1 ? `${ratio.toFixed(2)} x as fast` : `${(1 / ratio).toFixed(2)} x slower`;
  const share = (value: number, other: number) => value / Math.max(value, other, Number.MIN_VALUE);
  const series = [
    {
      name: `before: ${before.commit}, ${minute(before.date)}`,
      colour: "--other",
      bars: changes.map((c) => ({ value: share(c.before, c.after), text: timeText(c.before) })),
    },
    {
      name: `after: ${after.commit}, ${minute(after.date)}`,
      colour: "--accent",
      bars: changes.map((c) => ({
        value: share(c.after, c.before),
        text: `${timeText(c.after)}, ${verdict(c.ratio)}`,
      })),
    },
  ];
  const label = "Time of a run before and after";
  const rows = changes.map((c) => [`${c.name} ${c.about}`, inMs(c.before), inMs(c.after), verdict(c.ratio)]);
  const made = section(
    "Before and after",
    "Time of a run, each row to its own scale. Shorter is better.",
    showBars({ label, rows: changes, series, axis: "own" }),
    numbers(tableOf(label, [["case", "before ms", "after ms", ""], ...rows])),
  );
  for (const line of notes) made.append(element("p", line, "note"));
  return [made];
}

export interface Recorded {
  readonly file: string;
  readonly report: Report;
}

const titleOf = ({ file }: Recorded) => file.replace(/\.json$/, "");

/** All reports that are kept, in one page: what they are of, kernels and models by adapter, then each by itself. */
export function showAdapters(all: readonly Recorded[]): HTMLElement[] {
  if (all.length === 0) return [];
  const list = all.map((one) => {
    const { adapter, driver, browser, date, commit, quick, tuned } = one.report;
    const how = [quick ? "quick" : [], tuned ? "tuned" : []].flat().join(", ");
    return [titleOf(one), adapter, driver, runtimeOf(browser), minute(date), commit, how];
  });
  const heads = ["", "adapter", "driver", "runtime", "date", "commit", ""];
  const parts = [section("On record", "Every report that is kept.", tableOf("Reports on record", [heads, ...list]))];
  const kernels = byAdapter(
    all,
    ({ kernels }) => kernels,
    "share",
    (t) => ({ value: t.reached ?? 0, text: `${percent(t.reached)}, ${timeText(t.ms)}` }),
  );
  const models = byAdapter(
    all,
    ({ models }) => models,
    "times",
    (t) => ({ value: t.ms, upTo: t.p95, text: `${timeText(t.ms)}, ${t.framesPerSecond.toFixed(1)} frames/s` }),
  );
  if (kernels)
    parts.push(
      section("Kernels by adapter", "Share of the nearest ceiling of that adapter, and the time.", ...kernels),
    );
  if (models) parts.push(section("Models by adapter", "A steady run: median, and the 95th percentile.", ...models));
  const each = all.map((one) => {
    const details = element("details");
    details.append(element("summary", `${titleOf(one)}: all of it`));
    // Charts of what is folded away have no size, so they are made when it is opened.
    details.addEventListener("toggle", () => details.append(...showReport(one.report)), { once: true });
    return details;
  });
  return [...parts, ...each];
}

/** A chart and its numbers: a row for every name and size that any report has. Null where none has any. */
function byAdapter<T extends KernelTiming | ModelTiming>(
  all: readonly Recorded[],
  pick: (report: Report) => readonly Result<T>[],
  axis: BarChart["axis"],
  show: (timing: T) => Bar,
): [HTMLElement, HTMLElement] | null {
  const known = new Map(all.flatMap(({ report }) => pick(report).map((one) => [`${one.name} ${one.about}`, one])));
  if (known.size === 0) return null;
  const of = ({ report }: Recorded, key: string) => pick(report).find((one) => `${one.name} ${one.about}` === key);
  const series = all.map((one, i) => ({
    name: titleOf(one),
    colour: colourOf(i),
    bars: [...known.keys()].map((key) => {
      const timing = of(one, key)?.timing;
      return timing ? show(timing) : null;
    }),
  }));
  const rows = [...known].map(([key, { name, about }], r) => ({
    ...{ name, about, refused: series.some(({ bars }) => bars[r]) ? null : `refused: ${known.get(key)!.refused}` },
  }));
  const label = `${axis === "share" ? "Share of the nearest ceiling" : "Time of a steady run"}, by case and adapter`;
  const cells = [...known.keys()].map((key, r) => [key, ...series.map(({ bars }) => bars[r]?.text ?? "-")]);
  const table = tableOf(label, [["case", ...series.map(({ name }) => name)], ...cells]);
  return [showBars({ label, rows, series, axis }), numbers(table)];
}
