// The bench's page: runs the cases, draws what they give, exports it, compares two exports.
import { openGpu } from "../../src/gpu/device.ts";
import { type Report, readReport, refusedOf, withRivals } from "../report.ts";
import { choosePairs, type Pair, RIVALS } from "../rival/engines.ts";
import { about, pair } from "../rival/page.ts";
import { CASE_NAMES, chooseCases, runBench } from "../run.ts";
import { showAdapters, showComparison } from "./together.ts";
import { showReport } from "./view.ts";

/** Put in by tools/bench_page.mjs: the commit of the source, the rivals that are installed and the files they have here. */
declare const BENCH_COMMIT: string;
declare const BENCH_RIVALS: { readonly installed: readonly string[]; readonly models: readonly string[] };

/** Of a case beside a rival. The command has flags for them; a person who looks on has less patience. */
const LIMITS = { rounds: 3, budget: 300 };

const get = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const [run, save, message] = [get<HTMLButtonElement>("run"), get<HTMLButtonElement>("export"), get("message")];
const [quick, tuned, bar] = [
  get<HTMLInputElement>("quick"),
  get<HTMLInputElement>("tuned"),
  get<HTMLProgressElement>("progress"),
];
let latest: Report | null = null;

function say(text: string, alert = false): void {
  message.textContent = text;
  message.classList.toggle("alert", alert);
}

/** Runs `work` with the buttons locked; what it throws is one line on the page. */
async function busy(work: () => Promise<void>): Promise<void> {
  const buttons = [...document.querySelectorAll("button")].filter((button) => !button.disabled);
  for (const button of buttons) button.disabled = true;
  bar.hidden = false;
  bar.removeAttribute("value");
  try {
    await work();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
  }
  bar.hidden = true;
  for (const button of buttons) button.disabled = false;
  save.disabled = latest === null;
}

async function bench(): Promise<void> {
  const ticked = [...document.querySelectorAll<HTMLInputElement>("#cases input:checked")].map(({ value }) => value);
  const cases = chooseCases(ticked, { quick: quick.checked });
  const asked = { cases, quick: quick.checked, tuned: tuned.checked };
  const options = { ...asked, commit: BENCH_COMMIT, browser: navigator.userAgent };
  using gpu = await openGpu();
  latest = await runBench(gpu, options, (line) => {
    say(line);
    const at = cases.indexOf(line.split(":")[0]!);
    if (at >= 0) bar.value = at / cases.length;
  });
  shown();
}

/** The latest report as it is, and a line about what was refused in it. */
function shown(): void {
  get("plots").replaceChildren(...showReport(latest!));
  const refused = refusedOf(latest!);
  say(refused.length === 0 ? "Done." : `${refused.length} refused: wrong answers are not timed.`, refused.length > 0);
}

function download(report: Report): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(report, null, 1)], { type: "application/json" }));
  link.download = `kinema-bench-${report.date.slice(0, 16).replaceAll(":", "")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** One file is shown; the last two that were opened or run are compared. */
async function open(files: readonly File[]): Promise<void> {
  const reports = await Promise.all(files.map(async (file) => readReport(await file.text(), file.name)));
  const known = [...(latest ? [latest] : []), ...reports].slice(-2);
  latest = known.at(-1) ?? null;
  const [one, two] = known;
  if (one && two) get("plots").replaceChildren(...showComparison(one, two), ...showReport(two));
  else if (one) get("plots").replaceChildren(...showReport(one));
  say(two ? "Compared." : "Shown. Drop another to compare.");
}

/** Kinema in turns with every installed rival; what is found joins the latest report. */
async function beside(pairs: readonly Pair[]): Promise<void> {
  const folder = (name: string) => `${location.origin}/rival/${name}/`;
  const places = { models: folder("models"), ort: folder("ort"), litert: folder("litert"), scripts: folder("scripts") };
  latest ??= await about({ commit: BENCH_COMMIT });
  for (const [i, one] of pairs.entries()) {
    bar.value = i / pairs.length;
    const result = await pair({ ...one, ...LIMITS, places }, { progress: (line) => say(String(line)) });
    latest = withRivals(latest, [result]);
    shown();
    // What was left behind may still hold the GPU, so no time after it would be right.
    if (result.refused?.startsWith("not done within"))
      throw new Error(`${one.name} beside ${one.rival}: ${result.refused}. Reload the page before the next one.`);
  }
}

/** Pairs that can run here: of one case, or of all. */
function pairsHere(cases: readonly string[]): Pair[] {
  const { installed, models } = BENCH_RIVALS;
  return choosePairs(cases, []).filter(
    ({ name, rival }) => installed.includes(rival) && (!rival.startsWith("ort-") || models.includes(name)),
  );
}

/** Everything in bench/results, as the server lists it. */
async function record(): Promise<void> {
  const list = (await (await fetch("results.json")).json()) as { file: string; text: string }[];
  const reports = list.map(({ file, text }) => ({ file, report: readReport(text, file) }));
  get("plots").replaceChildren(...showAdapters(reports));
  const none = "Nothing is on record: npm run bench -- --json bench/results/ADAPTER-PLACE.json puts a report there.";
  say(reports.length === 0 ? none : `${reports.length} on record.`);
}

function prepareRivals(): void {
  const pairs = pairsHere([]);
  if (pairs.length === 0) return;
  const choice = get<HTMLSelectElement>("rival-case");
  for (const name of new Set(pairs.map((one) => one.name))) choice.append(new Option(name));
  const rivals = [...new Set(pairs.map(({ rival }) => RIVALS[rival].title))];
  get("rivals").title = rivals.join(", ");
  get("rivals").hidden = false;
  get("beside").addEventListener("click", () =>
    busy(() => beside(pairsHere(choice.value === "" ? [] : [choice.value]))),
  );
}

function prepare(): void {
  for (const name of CASE_NAMES) {
    const label = document.createElement("label");
    const tick = document.createElement("input");
    tick.type = "checkbox";
    tick.value = name;
    label.append(tick, ` ${name}`);
    get("cases").append(label);
  }
  prepareRivals();
  get("record").addEventListener("click", () => busy(record));
  run.addEventListener("click", () => busy(bench));
  save.addEventListener("click", () => latest && download(latest));
  const file = get<HTMLInputElement>("file");
  file.addEventListener("change", () => busy(() => open([...(file.files ?? [])])));
  for (const type of ["dragover", "drop", "dragleave"] as const)
    document.addEventListener(type, (event) => {
      event.preventDefault();
      document.body.classList.toggle("dropping", type === "dragover");
      if (type === "drop" && event.dataTransfer?.files.length) busy(() => open([...event.dataTransfer!.files]));
    });
}

prepare();
try {
  using gpu = await openGpu();
  get("adapter").textContent = gpu.adapter;
  run.disabled = false;
} catch (error) {
  get("adapter").textContent = "no GPU";
  say(error instanceof Error ? error.message : String(error), true);
}
