// A report, or two of them, as a person reads them: what is measured, bars, and the numbers behind them.
import { compareReports, isSoftware, type Report, RIVAL_HEAD, rivalRow, SOFTWARE } from "../report.ts";
import { median } from "../rival/compare.ts";
import { RIVALS, type Rival } from "../rival/engines.ts";
import { drawBars, type Row } from "./bars.ts";

function element<K extends keyof HTMLElementTagNameMap>(name: K, text = "", className = ""): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

const mb = (bytes: number) => (bytes / 1e6).toFixed(2);
const ms = (time: number) => (time < 10 ? time.toFixed(3) : time.toFixed(1));

function section(title: string, note: string, ...content: readonly Element[]): HTMLElement {
  const made = element("section");
  made.append(element("h2", title), element("p", note, "note"), ...content);
  return made;
}

export function showReport(r: Report): HTMLElement[] {
  const { flops, loads, bytes } = r.ceilings;
  const told = `${r.date.slice(0, 16).replace("T", " ")} UTC, commit ${r.commit}, driver ${r.driver}, ${r.browser}${r.quick ? "; quick: a look, not a measurement" : ""}`;
  const ceilings: Row[] = [
    ["multiply-adds", `${(flops / 1e9).toFixed(1)} GFLOP/s`],
    ["loads of 16 bytes", `${(loads / 1e9).toFixed(2)} G/s`],
    ["copies", `${(bytes / 1e9).toFixed(2)} GB/s`],
  ].map(([name, about]) => ({ name: name!, about: about!, bars: [] }));
  const kernels = r.kernels.map(({ name, about, refused, timing: t }): Row => {
    if (!t) return { name, about, bars: [], refused: `refused: ${refused}` };
    const text = `${Math.round(100 * t.reached)} % of ${t.bound}, ${t.gflops.toFixed(1)} GF/s`;
    return { name, about, bars: [{ value: t.reached, text }] };
  });
  const models = r.models.map(({ name, about, refused, timing: t }): Row => {
    if (!t) return { name, about, bars: [], refused: `refused: ${refused}` };
    return { name, about, bars: [{ value: t.framesPerSecond, text: `${t.framesPerSecond.toFixed(1)} frames/s` }] };
  });
  const parts = [section("Ceilings", `${r.adapter}. ${told}`, drawBars("Ceilings of this adapter", ceilings))];
  if (kernels.length > 0)
    parts.push(
      section(
        "Kernels",
        "Share of the nearest ceiling; a full bar is all that the adapter gives.",
        drawBars("Share of the ceiling that each kernel reaches", kernels, { full: 1 }),
      ),
    );
  if (models.length > 0)
    parts.push(
      section(
        "Models",
        "Frames a second, steady, with frames written and logits read back; random weights.",
        drawBars("Frames a second of each model", models),
        modelTable(r),
      ),
    );
  if (r.rivals.length > 0) parts.push(showRivals(r));
  return parts;
}

function modelTable({ models }: Report): HTMLElement {
  const heads = ["model", "parse", "pack", "compile", "first", "median", "p95 ms", "dispatches"];
  const memory = ["activations MB", "lower bound", "naive", "weights MB"];
  const rows = models.flatMap(({ name, timing: t }) => {
    if (!t) return [];
    const { cold, bytes } = t;
    const times = [cold.parse, cold.pack, cold.compile, cold.first, t.ms, t.p95].map(ms);
    const sizes = [bytes.planned, bytes.lowerBound, bytes.naive, bytes.weights].map(mb);
    return [[name, ...times, String(t.dispatches), ...sizes]];
  });
  return tableOf([[...heads, ...memory], ...rows]);
}

function tableOf(rows: readonly (readonly string[])[]): HTMLElement {
  const made = element("table");
  for (const [i, texts] of rows.entries()) {
    const cells = texts.map((text) => element(i === 0 ? "th" : "td", text));
    // A line in place of numbers takes the room of all of them.
    if (texts.length < rows[0]!.length) {
      cells.at(-1)!.colSpan = rows[0]!.length - texts.length + 1;
      cells.at(-1)!.className = "alert";
    }
    made.insertRow().append(...cells);
  }
  const scroll = element("div", "", "scroll");
  scroll.append(made);
  return scroll;
}

/** Before and after, the older one first. Bars are times, so shorter is better; each row to its own scale. */
export function showComparison(one: Report, two: Report): HTMLElement[] {
  const [before, after] = one.date <= two.date ? [one, two] : [two, one];
  const { changes, notes } = compareReports(before, after);
  const rows = changes.map(({ name, about, before: was, after: is, ratio }): Row => {
    const most = Math.max(was, is, Number.MIN_VALUE);
    const verdict = ratio >= 1 ? `${ratio.toFixed(2)} x as fast` : `${(1 / ratio).toFixed(2)} x slower`;
    const bars = [
      { value: was / most, text: `${ms(was)} ms`, other: true },
      { value: is / most, text: `${ms(is)} ms, ${verdict}` },
    ];
    return { name, about, bars };
  });
  const note = `Time of a run; faint: ${before.commit} of ${before.date.slice(0, 16)}, full: ${after.commit} of ${after.date.slice(0, 16)}. Shorter is better.`;
  const made = section("Before and after", note, drawBars("Times before and after", rows, { full: 1 }));
  for (const line of notes) made.append(element("p", line, "note"));
  return [made];
}

const titleOf = (rival: string): string => (RIVALS as Record<string, Rival>)[rival]?.title ?? rival;

/** 0.3 ms, 25 ms, 1.4 s. */
const time = (value: number): string => (value < 1000 ? `${ms(value)} ms` : `${(value / 1000).toFixed(1)} s`);
const tick = (value: number): string => (value < 1000 ? `${value} ms` : `${value / 1000} s`);

/** Each case: Kinema, then the rivals, fastest first; the numbers behind it in a table. */
function showRivals(r: Report): HTMLElement {
  const names = [...new Set(r.rivals.map(({ name }) => name))];
  const rows = names.map((name): Row => {
    const results = r.rivals.filter((one) => one.name === name);
    const timed = results.flatMap(({ rival, timing }) => (timing ? [{ rival, timing }] : []));
    const { about } = results[0]!;
    if (timed.length === 0) return { name, about, bars: [], refused: `refused: ${results[0]!.refused}` };
    const own = median(timed.map(({ timing }) => timing.ours.ms));
    const others = timed
      .sort((a, b) => a.timing.rival.ms - b.timing.rival.ms)
      .map(({ rival, timing: t }) => ({
        ...{ value: t.rival.ms, other: true, text: `${time(t.rival.ms)}, ${t.ratio.toFixed(2)} x: ${titleOf(rival)}` },
      }));
    return { name, about, bars: [{ value: own, text: `${time(own)}: Kinema` }, ...others] };
  });
  const note = `Median time of a run, input to the engine and output back, same weights; ten times as long is one step. Each rival ran in turns with Kinema after both gave the same answer; "x" is the median of its time over Kinema's in the same round, so below 1 the rival is faster. ${isSoftware(r) ? SOFTWARE : ""}`;
  return section(
    "Beside other engines",
    note,
    drawBars("Time of each case, by engine", rows, { tick, long: true }),
    tableOf([RIVAL_HEAD, ...r.rivals.map(rivalRow)]),
  );
}

/** Every adapter that a report was recorded on, case by case. */
export function showAdapters(reports: readonly { readonly file: string; readonly report: Report }[]): HTMLElement[] {
  const all = ({ kernels, models }: Report) => [...kernels, ...models];
  const names = [...new Set(reports.flatMap(({ report }) => all(report).map(({ name, about }) => `${name}|${about}`)))];
  const rows = names.map((key): Row => {
    const [name, about] = key.split("|") as [string, string];
    const bars = reports.flatMap(({ file, report }) => {
      const found = all(report).find((one) => one.name === name && one.about === about);
      return found?.timing ? [{ value: found.timing.ms, text: `${time(found.timing.ms)}: ${file}` }] : [];
    });
    return bars.length > 0 ? { name, about, bars } : { name, about, bars, refused: "refused everywhere" };
  });
  const note = "Time of a run on every adapter on record; ten times as long is one step.";
  const made =
    rows.length > 0 ? [section("Every adapter", note, drawBars("Times by adapter", rows, { tick, long: true }))] : [];
  const each = reports.map(({ file, report }) => {
    const details = element("details");
    details.append(
      element("summary", `${file}: ${report.adapter}, ${report.date.slice(0, 10)}`),
      ...showReport(report),
    );
    return details;
  });
  return [...made, ...each];
}
