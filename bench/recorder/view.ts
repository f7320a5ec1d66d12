// The recorder's page: what it shows and what can be pressed.
import { formatTime } from "../../src/cli/time.ts";
import { secondsOf } from "../../src/store/description.ts";
import type { StoreDescription } from "../../src/store/index.ts";
import { onChosen, onDropped } from "../demo/drop.ts";
import { element, text } from "./dom.ts";
import { bytesText } from "./figures.ts";
import type { Input } from "./inputs.ts";
import type { Player, Rgba } from "./player.ts";
import { RATES, type RateFacts } from "./rates.ts";
import type { Progress } from "./recording.ts";
import type { Extent } from "./store_worker.ts";

export const video = element<HTMLVideoElement>("video");
/** Where the frames of a file are drawn that is recorded. */
export const source = element<HTMLCanvasElement>("source");
const decoded = element<HTMLCanvasElement>("decoded");

export interface Actions {
  camera(): void;
  /** A video to record, or a store to open. */
  file(file: File): void;
  clip(): void;
  record(): void;
  stop(): void;
}

let ready = false;
let recording = false;
let input: Input | null = null;

export function listen(actions: Actions): void {
  element("camera").onclick = actions.camera;
  element("clip").onclick = actions.clip;
  element("record").onclick = actions.record;
  element("stop").onclick = actions.stop;
  for (const id of ["file", "store"]) onChosen(element<HTMLInputElement>(id), actions.file);
  onDropped((file) => !recording && ready && actions.file(file));
  const choices = RATES.map((rate) => {
    const label = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "rate", value: rate });
    radio.checked = rate === "192";
    label.append(radio, text("strong", `1/${rate}`), text("span", ""));
    return label;
  });
  element("rates").append(...choices);
}

/** The rate that is chosen. */
export const rate = (): string => document.querySelector<HTMLInputElement>('input[name="rate"]:checked')!.value;

/** Says what a rate means for a video of so many frames a second. */
export function describeRate(rate: string, fps: number, { bytesPerSecond, psnr }: RateFacts): void {
  const line = document.querySelector(`input[name="rate"][value="${rate}"] ~ span`)!;
  const quality = psnr
    ? `; ${psnr[0].toFixed(1)} dB on footage like that of the training, ${psnr[1].toFixed(1)} dB on other`
    : "";
  line.textContent = `${bytesText(bytesPerSecond)} a second at ${Math.round(fps)} frames${quality}`;
}

/** The GPU is there. */
export function enable(adapter: string): void {
  element("adapter").textContent = adapter;
  ready = true;
  update();
}

/** A line for people; an empty one clears it. */
export function say(message: string, alert = false): void {
  element("message").textContent = message;
  element("message").classList.toggle("alert", alert);
}

export function complain(error: unknown): void {
  say(error instanceof Error ? error.message : String(error), true);
}

/** What would be recorded; null for nothing. */
export function showInput(next: Input | null): void {
  input = next;
  update();
}

/** While a recording runs, nothing else can be begun. */
export function setRecording(on: boolean): void {
  recording = on;
  update();
}

function update(): void {
  document.body.classList.toggle("sourced", input !== null);
  document.body.classList.toggle("recording", recording);
  video.hidden = !input?.live;
  source.hidden = input?.live ?? true;
  for (const id of ["camera", "file", "clip", "store"]) element<HTMLButtonElement>(id).disabled = !ready || recording;
  for (const id of ["rates", "library"]) element<HTMLFieldSetElement>(id).disabled = recording;
  element<HTMLButtonElement>("record").disabled = !ready || recording || !input;
  element<HTMLButtonElement>("stop").disabled = !recording;
}

/** Shows a decoded frame of the store that is open. */
export function frame(pixels: Rgba, { width, height }: StoreDescription): void {
  document.body.classList.add("opened");
  decoded.width = width;
  decoded.height = height;
  decoded.getContext("2d")!.putImageData(new ImageData(pixels, width, height), 0, 0);
}

/** Nothing is open. */
export function clear(): void {
  document.body.classList.remove("opened");
  for (const cell of document.querySelectorAll(".meter dd")) cell.textContent = "–";
}

/** Size, rate and length of the store that `player` shows, of so many bytes; and how it goes while it is recorded. */
export function figures({ description, frames }: Player, bytes: number, progress?: Omit<Progress, keyof Extent>): void {
  const { width, height } = description;
  const seconds = (count: number) => secondsOf(description, count);
  const set = (id: string, value: string) => {
    element(id).textContent = value;
  };
  set("size", bytesText(bytes));
  set("bytes-a-second", frames > 0 ? bytesText(bytes / seconds(frames)) : "–");
  set("raw-over-file", frames > 0 ? ((frames * width * height * 3) / bytes).toFixed(0) : "–");
  set("length", formatTime(seconds(progress?.frames ?? frames)));
  if (!progress) return;
  set("fps", progress.fps.toFixed(1));
  set("dropped", String(progress.dropped));
}
