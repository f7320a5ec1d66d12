// The page: what it shows and what can be pressed.
import { Chart } from "./chart.ts";
import { onChosen, onDropped } from "./drop.ts";
import type { Rates } from "./meter.ts";
import type { Source } from "./source.ts";

const element = <T extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as T;
const chart = new Chart(element<HTMLCanvasElement>("chart"));
const stop = element<HTMLButtonElement>("stop");

export const video = element<HTMLVideoElement>("video");

/** What the buttons, the file field and a drop do. */
export interface Actions {
  camera(): void;
  file(file: File): void;
  stop(): void;
}

export function listen(actions: Actions): void {
  element("camera").onclick = actions.camera;
  stop.onclick = actions.stop;
  onChosen(element<HTMLInputElement>("file"), actions.file);
  onDropped(actions.file);
}

/** The model is loaded: sources can be chosen. */
export function ready(): void {
  for (const id of ["camera", "file"]) element<HTMLButtonElement | HTMLInputElement>(id).disabled = false;
  idle("Ready.");
}

export function adapter(name: string): void {
  element("adapter").textContent = name;
}

/** A line for people; an empty one clears it. */
export function say(message: string, alert = false): void {
  element("message").textContent = message;
  element("message").classList.toggle("alert", alert);
}

export function begin(source: Source, labels: readonly string[]): void {
  chart.clear(labels);
  video.classList.toggle("mirrored", source.mirrored);
  video.controls = video.srcObject === null;
  document.body.classList.add("running");
  element("label").textContent = "…";
  stop.disabled = false;
  const told = () => {
    const slow = source.keepUp && video.playbackRate < 1 ? `, at ${video.playbackRate.toFixed(2)} of its speed` : "";
    say(`Watching ${source.name}${slow}.`);
  };
  video.onratechange = told;
  told();
}

/** Nothing runs. */
export function idle(message: string): void {
  document.body.classList.remove("running");
  element("label").textContent = "–";
  stop.disabled = true;
  video.onratechange = null;
  video.controls = false;
  say(message);
}

export function complain(error: unknown): void {
  idle("");
  say(error instanceof Error ? error.message : String(error), true);
}

export function result(label: string, scores: ArrayLike<number>): void {
  const shown = element("label");
  if (shown.textContent !== label) shown.textContent = label; // else it would be read aloud at every frame
  chart.add(performance.now() / 1000, scores);
}

/** Shows rates; nothing for null. */
export function stages(rates: Rates | null): void {
  if (!rates) return;
  element("fps").textContent = rates.fps.toFixed(1);
  for (const name of ["wait", "submit", "gpu"] as const) element(name).textContent = `${rates[name].toFixed(1)} ms`;
}
