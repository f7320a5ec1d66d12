// A report, or two of them, as a person reads them: what is measured, bars, and the numbers behind them.
import { compareReports, type Report } from "../report.ts";
import type { RivalResult } from "../rival/page.ts";
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
        drawBars("Share of the ceiling that each kernel reaches", kernels, 1),
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
  for (const [i, cells] of rows.entries())
    made.insertRow().append(...cells.map((text) => element(i === 0 ? "th" : "td", text)));
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
  const made = section("Before and after", note, drawBars("Times before and after", rows, 1));
  for (const line of notes) made.append(element("p", line, "note"));
  return [made];
}

const SOFTWARE = " On a software adapter one thread of WebAssembly is faster than any engine's WebGPU.";

/** Kinema and onnxruntime-web on the same model, weights, input and adapter. */
export function showRival(model: string, r: RivalResult): HTMLElement {
  const bars = [
    { value: r.rival.medianMs, text: `${ms(r.rival.medianMs)} ms, onnxruntime-web`, other: true },
    { value: r.ours.medianMs, text: `${ms(r.ours.medianMs)} ms, Kinema` },
  ];
  const note = `onnxruntime-web ${r.rivalVersion} takes ${r.ratio.toFixed(2)} times as long; median of ${r.ours.warmMs.length} interleaved runs on ${r.adapter}; outputs differ by ${r.maxDifference.toExponential(1)} of ${r.maxOutput.toFixed(2)}.${r.adapter.includes("(software)") ? SOFTWARE : ""}`;
  return section(
    `Side by side: ${model}`,
    note,
    drawBars(`${model} beside onnxruntime-web`, [{ name: model, about: "", bars }]),
  );
}
