// Where `kinema run` and `kinema verify` run: Dawn in this process, or a page of Chromium.
import { fail } from "../core/fail.ts";
import { pageBundle } from "../host/bundle.ts";
import { launchBrowser } from "../host/chromium.ts";
import { fileSource } from "../host/file_source.ts";
import { preparing } from "../host/page/report.ts";
import type { TensorArgs, TensorResult } from "../host/page/tensors.ts";
import { openPage } from "../host/page.ts";
import { MODEL_NAMES, type ModelName } from "../models/index.ts";
import { INPUT_NAMES, readTensors, runModel } from "../run.ts";
import { openCheckpoint } from "../weights/checkpoint.ts";
import { onDawn } from "./dawn.ts";
import { reported } from "./progress.ts";

export interface ExecuteOptions extends Omit<TensorArgs, "weightsUrl" | "inputUrl" | "weightsName" | "inputName"> {
  readonly weights: string;
  readonly input: string;
  readonly on: "node" | "chromium";
  readonly signal: AbortSignal;
  readonly onProgress: (phase: string, fraction: number) => void;
  /** Writes a line to stderr. */
  readonly note: (line: string) => void;
}

/** Runs a model on the tensors of a file. */
export function execute(options: ExecuteOptions): Promise<TensorResult> {
  return options.on === "node" ? inNode(options) : inChromium(options);
}

async function inNode(options: ExecuteOptions): Promise<TensorResult> {
  // The files are read first: what is wrong with them is said before a driver is looked for.
  const checkpoint = await openCheckpoint(await fileSource(options.weights));
  const file = await openCheckpoint(await fileSource(options.input));
  const inputs = await readTensors(file, INPUT_NAMES);
  return onDawn(options.note, async (gpu, adapter) => {
    const result = await runModel(gpu, checkpoint, inputs, {
      model: options.model,
      ...(options.padding ? { padding: options.padding } : {}),
      ...(options.dtype ? { dtype: options.dtype } : {}),
      ...(options.activationBytes ? { activationBytes: options.activationBytes } : {}),
      taps: options.taps === "all" ? [...file.tensors.keys()] : (options.taps ?? []),
      signal: options.signal,
      onProgress: preparing(options.onProgress),
    });
    return {
      model: result.model,
      adapter,
      ms: result.ms,
      tensors: [...result.tensors].map(([name, tensor]) => ({ name, ...tensor })),
    };
  });
}

async function inChromium({
  weights,
  input,
  on: _on,
  note: _note,
  signal,
  onProgress,
  ...args
}: ExecuteOptions): Promise<TensorResult> {
  for (const path of [weights, input]) await openCheckpoint(await fileSource(path));
  const browser = await launchBrowser({ signal });
  try {
    const page = await openPage(browser, { bundle: pageBundle() });
    const call: TensorArgs = {
      ...args,
      weightsUrl: page.file(weights),
      weightsName: weights,
      inputUrl: page.file(input),
      inputName: input,
    };
    return await page.call<TensorResult>("tensors", call, { signal, onProgress: reported(onProgress) });
  } finally {
    await browser.close();
  }
}

/** A model by name. @throws "usage" naming the models there are */
export function modelNamed(name: string): ModelName {
  return (
    MODEL_NAMES.find((model) => model === name) ??
    fail("usage", `no model "${name}"; there are ${MODEL_NAMES.join(", ")}`)
  );
}

/** What `--set` changes. */
export interface Settings {
  readonly padding?: "symmetric" | "same";
  /** `--set activations=MB`. */
  readonly activationBytes?: number;
}

/** `--set padding=same --set activations=24`. @throws "usage" for anything else */
export function settings(list: readonly string[]): Settings {
  const chosen: { -readonly [Key in keyof Settings]: Settings[Key] } = {};
  for (const entry of list) {
    const [key, value = ""] = entry.split("=");
    if (key === "padding" && (value === "same" || value === "symmetric")) chosen.padding = value;
    else if (key === "activations" && /^[1-9]\d{0,5}$/.test(value)) chosen.activationBytes = Number(value) * 1e6;
    else fail("usage", `--set ${entry}: what can be set is padding=same, padding=symmetric or activations=MEGABYTES`);
  }
  return chosen;
}
