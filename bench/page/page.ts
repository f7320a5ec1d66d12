// The bench's page: runs the cases, draws what they give, exports it, compares two exports.
import { openGpu } from "../../src/gpu/device.ts";
import { type Report, readReport } from "../report.ts";
import { agree, RIVAL_CASES, type RivalModel } from "../rival/cases.ts";
import { rival } from "../rival/page.ts";
import { CASE_NAMES, chooseCases, runBench } from "../run.ts";
import { showComparison, showReport, showRival } from "./view.ts";

/** Put in by tools/bench_page.mjs: the commit of the source, and the models that the rival can run here. */
declare const BENCH_COMMIT: string;
declare const BENCH_RIVALS: readonly string[];

const RIVAL_RUNS = 3;

const get = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const [run, save, message] = [get<HTMLButtonElement>("run"), get<HTMLButtonElement>("export"), get("message")];
const [quick, bar] = [get<HTMLInputElement>("quick"), get<HTMLProgressElement>("progress")];
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
  const cases = chooseCases(ticked, quick.checked);
  const options = { cases, quick: quick.checked, commit: BENCH_COMMIT, browser: navigator.userAgent };
  using gpu = await openGpu();
  latest = await runBench(gpu, options, (line) => {
    say(line);
    const at = cases.indexOf(line.split(":")[0]!);
    if (at >= 0) bar.value = at / cases.length;
  });
  get("plots").replaceChildren(...showReport(latest));
  const refused = [...latest.kernels, ...latest.models].filter((result) => result.refused !== null);
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

async function beside(model: RivalModel): Promise<void> {
  const { origin } = location;
  const args = { model, ...RIVAL_CASES[model], runs: RIVAL_RUNS };
  const urls = { modelUrl: `${origin}/rival/models/${model}.onnx`, distUrl: `${origin}/rival/ort/` };
  say(`${model}: both engines make ready`);
  const progress = (value: unknown) => say(`${model}: run ${value} of ${RIVAL_RUNS + 1}`);
  const result = await rival({ ...args, ...urls }, { progress, signal: new AbortController().signal });
  if (!agree(result)) throw new Error(`the two disagree by ${result.maxDifference}: not reported`);
  get("beside").append(showRival(model, result));
  say("Done.");
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
  for (const model of Object.keys(RIVAL_CASES) as RivalModel[]) {
    if (!BENCH_RIVALS.includes(model)) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${model} beside onnxruntime-web`;
    button.addEventListener("click", () => busy(() => beside(model)));
    get("rivals").append(button);
    get("rivals").hidden = false;
  }
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
