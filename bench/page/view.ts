// A report as a person reads it: what is measured, charts, and the numbers behind them.
import type { Bound } from "../../src/profile.ts";
import { conditionsOf, isSoftware, type Report, RIVAL_HEAD, rivalRow, SOFTWARE } from "../report.ts";
import { RIVALS, type Rival } from "../rival/engines.ts";
import { colourOf, inMs, timeText } from "./bar_chart.ts";
import { showBars } from "./charts.ts";
import { element, numbers, section, tableOf } from "./elements.ts";

const mb = (bytes: number) => (bytes / 1e6).toFixed(2);
/** "-" for a share that an older report lacks, or whose ceiling was not measured. */
export const percent = (share: number | null) =>
  share !== null && Number.isFinite(share) ? `${Math.round(100 * share)} %` : "-";
/** Of a user agent the browser; another runtime's name is short already. */
export const runtimeOf = (browser: string) =>
  /(?:Headless)?Chrome\/\d+|Firefox\/\d+|Version\/\d+/.exec(browser)?.[0] ?? browser;
export const minute = (date: string) => `${date.slice(0, 16).replace("T", " ")} UTC`;

export function showReport(r: Report): HTMLElement[] {
  const { flops, loads, bytes } = r.ceilings;
  const told = `${r.adapter}, driver ${r.driver}. ${minute(r.date)}, commit ${r.commit}, ${runtimeOf(r.browser)}${r.quick ? "; quick: a look, not a measurement" : ""}${conditionsOf(r)}`;
  const ceilings = tableOf("Ceilings of this adapter", [
    ["", "a second"],
    ["multiply-adds", `${(flops / 1e9).toFixed(1)} GFLOP`],
    ["loads of 16 bytes", `${(loads / 1e9).toFixed(2)} G`],
    ["copies", `${(bytes / 1e9).toFixed(2)} GB`],
  ]);
  ceilings.classList.add("small");
  const parts = [section("Ceilings", told, ceilings)];
  if (r.kernels.length > 0) parts.push(showKernels(r));
  if (r.models.length > 0) parts.push(showModels(r));
  if (r.rivals.length > 0) parts.push(showRivals(r));
  return parts;
}

/** Each case's line where it was not timed. */
export const rowOf = ({ name, about, refused }: { name: string; about: string; refused: string | null }) => ({
  ...{ name, about, refused: refused === null ? null : `refused: ${refused}` },
});

const BOUNDS: Readonly<Record<Bound, string>> = { fma: "multiply-adds", load: "loads", copy: "copies" };

function showKernels({ kernels }: Report): HTMLElement {
  const bounds = Object.keys(BOUNDS) as Bound[];
  const series = bounds.map((bound, i) => ({
    name: BOUNDS[bound],
    colour: colourOf(i),
    bars: kernels.map(({ timing: t }) =>
      t?.bound === bound
        ? { value: t.reached ?? 0, text: `${percent(t.reached)}, ${t.gflops.toFixed(2)} GFLOP/s` }
        : null,
    ),
  }));
  const label = "Share of the nearest ceiling that each kernel reaches";
  const rows = kernels.map(({ name, about, refused, timing: t }) =>
    t
      ? [
          `${name} ${about}`,
          inMs(t.ms),
          t.gflops.toFixed(2),
          percent(t.reached),
          t.bound ? BOUNDS[t.bound] : "-",
          percent(t.loadAware),
        ]
      : [`${name} ${about}`, `refused: ${refused}`],
  );
  return section(
    "Kernels",
    "Share of the nearest ceiling, which the colour names: 100 % is all that the adapter gives.",
    showBars({ label, rows: kernels.map(rowOf), series, axis: "share" }),
    numbers(tableOf(label, [["kernel", "ms", "GFLOP/s", "reached", "ceiling", "load-aware"], ...rows])),
  );
}

const STAGES = ["parse", "pack", "compile", "first"] as const;

function showModels({ models }: Report): HTMLElement {
  const rows = models.map(rowOf);
  const cold = STAGES.map((stage, i) => ({
    name: stage === "first" ? "first run" : stage,
    colour: colourOf(i),
    bars: models.map(({ timing: t }) => {
      if (!t) return null;
      const whole = STAGES.reduce((sum, one) => sum + t.cold[one], 0);
      return { value: t.cold[stage] / whole, text: timeText(whole) };
    }),
  }));
  const steady = models.map(({ timing: t }) =>
    t ? { value: t.ms, upTo: t.p95, text: `${timeText(t.ms)}, ${t.framesPerSecond.toFixed(1)} frames/s` } : null,
  );
  return section(
    "Models",
    "Cold start: how the time from the weight file to the first output divides; all of it stands at the end. Random weights.",
    showBars({ label: "Cold start of each model by stage", rows, series: cold, axis: "share", stacked: true }),
    element(
      "p",
      "A steady run: its median, and as a whisker the 95th percentile. Frames written, outputs read back.",
      "note",
    ),
    showBars({
      ...{ label: "Steady run of each model, median and 95th percentile", rows, axis: "times" },
      series: [{ name: "steady run", colour: "--series-1", bars: steady }],
    }),
    modelTable(models),
  );
}

function modelTable(models: Report["models"]): HTMLElement {
  const heads = ["model", "parse", "pack", "compile", "first", "median", "p95 ms", "network", "frames/s", "dispatches"];
  const memory = ["activations MB", "lower bound", "naive", "weights MB"];
  const rows = models.map(({ name, about, refused, timing: t }) => {
    const model = `${name} ${about}`;
    if (!t) return [model, `refused: ${refused}`];
    const times = [...STAGES.map((stage) => t.cold[stage]), t.ms, t.p95].map(inMs);
    const { planned, lowerBound, naive, weights } = t.bytes;
    const sizes = [planned, lowerBound, naive, weights].map(mb);
    return [
      model,
      ...times,
      t.networkMs === undefined ? "-" : inMs(t.networkMs),
      t.framesPerSecond.toFixed(1),
      String(t.dispatches),
      ...sizes,
    ];
  });
  return tableOf("Times, dispatches and memory of each model", [[...heads, ...memory], ...rows]);
}

const titleOf = (rival: string): string => (RIVALS as Record<string, Rival>)[rival]?.title ?? rival;

/** Each case: how many times as long as Kinema each rival takes. */
function showRivals(r: Report): HTMLElement {
  const cases = [...new Set(r.rivals.map(({ name }) => name))];
  const engines = [...new Set(r.rivals.map(({ rival }) => rival))];
  const find = (name: string, rival: string) => r.rivals.find((one) => one.name === name && one.rival === rival);
  const rows = cases.map((name) => {
    const its = r.rivals.filter((one) => one.name === name);
    return rowOf({ ...its[0]!, refused: its.some(({ timing }) => timing) ? null : its[0]!.refused });
  });
  const series = engines.map((rival, i) => ({
    name: titleOf(rival),
    colour: colourOf(i),
    bars: cases.map((name) => {
      const timing = find(name, rival)?.timing;
      return timing ? { value: timing.ratio, text: `${timing.ratio.toFixed(2)} x` } : null;
    }),
  }));
  const label = "Times as long as Kinema, by case and engine";
  const note = `How many times as long as Kinema each engine takes for a run, input to the engine and output back, same weights; to the left of the line it is faster. Each ran in turns with Kinema after both gave the same answer; a number is the median of the ratios of the rounds. ${isSoftware(r) ? SOFTWARE : ""}`;
  return section(
    "Beside other engines",
    note,
    showBars({ label, rows, series, axis: "ratio" }),
    tableOf(label, [RIVAL_HEAD, ...r.rivals.map(rivalRow)]),
  );
}
