import { readFile } from "node:fs/promises";
import { fail } from "../core/fail.ts";
import { pageBundle, shippedWeights } from "../host/bundle.ts";
import { launchBrowser } from "../host/chromium.ts";
import { fileSource } from "../host/file_source.ts";
import type { ClassifyArgs, ClassifyResult } from "../host/page/classify.ts";
import { openPage } from "../host/page.ts";
import type { Span } from "../labels/index.ts";
import { MODEL_NAMES } from "../models/index.ts";
import { openCheckpoint } from "../weights/checkpoint.ts";
import { MOTION_CODES } from "../weights/motion_codes.ts";
import { recognise } from "../weights/recognise.ts";
import { classifyStore, isStore } from "./classify_store.ts";
import type { Command, CommandContext } from "./command.ts";
import { modelNamed } from "./execute.ts";
import { checkPlace, writeWhole } from "./output.ts";
import { percent, spanLine } from "./spans.ts";

const DEFAULT_TOP = 5;
const ONLINE = "tsm-mobilenetv2-online";

/** `kinema classify VIDEO --weights F [...]`, and of a store of codes `kinema classify IN.kvc`. */
export const classifyCommand: Command = {
  name: "classify",
  summary: "say what happens in a video",
  positionals: [
    { name: "VIDEO", text: "an .mp4, .mov, .webm or .mkv file, or a .kvc store of codes, which is not decoded" },
  ],
  flags: [
    {
      name: "weights",
      value: "FILE",
      text: "a .safetensors, .pth, .pth.tar or .pt file (default: Kinema's motion model, of codes that of their rate)",
    },
    { name: "model", value: "MODEL", allowed: MODEL_NAMES, text: "overrules what the file's tensor names say" },
    { name: "online", text: "frame by frame, a line per change: an online model, or stam as a stream" },
    { name: "labels", value: "FILE", text: "a line a class, in the model's order" },
    { name: "frames", value: "T", allowed: "count", text: "frames in the clip (default: the checkpoint's, else 8)" },
    {
      name: "sampling",
      value: "HOW",
      allowed: ["uniform", "dense"],
      text: "frames spread over the whole video, or every 64/T-th from its start (default uniform)",
    },
    { name: "explain", value: "PNG", text: "draw what a stam or vit looked at: a heat map a frame, a weight a frame" },
    { name: "top", value: "K", allowed: "count", text: `labels to print (default ${DEFAULT_TOP})` },
    { name: "index", text: "of a store: keep what was seen in it, for kinema search" },
    { name: "json", text: "print one JSON object" },
  ],
  run: classify,
};

async function classify(context: CommandContext): Promise<void> {
  const { args, signal, progress, print, note } = context;
  const video = args.positional("VIDEO");
  if (await isStore(video)) return classifyStore(context);
  if (args.has("index")) fail("usage", `--index is for stores of codes; ${video} is none (kinema compress makes one)`);
  const weights =
    args.text("weights") ??
    shippedWeights() ??
    fail("usage", "no weights; give --weights FILE, a .safetensors or .pth file");
  const online = args.has("online");
  const wanted = args.text("model");
  if (online && wanted !== undefined && wanted !== ONLINE && wanted !== "stam")
    fail("usage", `--online is for ${ONLINE} and stam; leave --model ${wanted} out, or --online`);
  const picture = args.text("explain");
  if (picture !== undefined && online)
    fail("usage", "--explain draws the frames of a clip, --online has none; leave one of them out");
  const labelsFile = args.text("labels");
  if (picture !== undefined)
    await checkPlace(picture, "--explain", [video, weights, ...(labelsFile === undefined ? [] : [labelsFile])]);
  const frames = args.number("frames");
  // The files are looked at before a browser is started: what is wrong with them is said at once.
  if ((await fileSource(video)).size === 0) fail("bad-video", `${video} is empty; give a video file`);
  const checkpoint = await openCheckpoint(await fileSource(weights));
  if (checkpoint.metadata.model === MOTION_CODES)
    fail("usage", `${weights} reads codes, not frames; give it a .kvc store (kinema compress makes one)`);
  const recognised = recognise(checkpoint);
  const model = wanted ?? (online && recognised.model !== "stam" ? ONLINE : undefined);
  if (picture !== undefined && (model ?? recognised.model) !== "stam" && (model ?? recognised.model) !== "vit")
    fail("usage", `--explain draws the attention of a stam or vit; ${model ?? recognised.model ?? weights} has none`);
  const labels = labelsFile === undefined ? undefined : await readLabels(labelsFile);
  const browser = await launchBrowser({ onFirst: note, signal });
  try {
    const page = await openPage(browser, { bundle: pageBundle() });
    const call: ClassifyArgs = {
      videoUrl: page.file(video),
      weightsUrl: page.file(weights),
      weightsName: weights,
      ...(model ? { model: modelNamed(model) } : {}),
      ...(labels ? { labels } : {}),
      ...(frames ? { frames } : {}),
      ...(online ? { online } : {}),
      ...(picture === undefined ? {} : { explain: true }),
      sampling: args.text("sampling") === "dense" ? "dense" : "uniform",
      top: args.number("top") ?? DEFAULT_TOP,
    };
    const json = args.has("json");
    const onProgress = (value: unknown) => {
      const { phase, fraction, span } = value as { phase: string; fraction: number; span?: Span };
      if (span && !json) print(`${spanLine(span)}\n`);
      progress.update(phase, fraction);
    };
    const result = await page.call<ClassifyResult>("classify", call, { signal, onProgress });
    if (picture !== undefined) await writeWhole(picture, result.explained!.png);
    print(json ? asJson(result) : asText(result));
  } finally {
    await browser.close();
  }
}

/** The result as one line of JSON; of the picture, which is a file, only the frames' weights. */
function asJson({ explained, ...result }: ClassifyResult): string {
  return `${JSON.stringify({ ...result, ...(explained ? { weights: explained.frames } : {}) })}\n`;
}

async function readLabels(path: string): Promise<string[]> {
  await fileSource(path);
  const labels = (await readFile(path, "utf8")).split(/\r?\n/).map((line) => line.trim());
  while (labels.at(-1) === "") labels.pop();
  return labels.length > 0 ? labels : fail("usage", `${path} holds no labels; give a line a class`);
}

/** What is left to print once the finished spans are out: the last span or the ranking, then how it was done. */
function asText({ model, adapter, top, spans, frames, explained, ms, bytes }: ClassifyResult): string {
  const lines = spans ? spans.slice(-1).map(spanLine) : top.map(({ label, score }) => `${percent(score)}  ${label}`);
  const mb = (count: number) => `${(count / 1e6).toFixed(1)} MB`;
  const times = Object.entries(ms).map(([phase, time]) => `${phase} ${Math.round(time)} ms`);
  lines.push("", `${model} on ${adapter}`);
  lines.push(frames.length > 16 ? `${frames.length} frames` : `frames ${frames.join(" ")}`);
  if (explained?.frames) lines.push(`weights ${explained.frames.map((share) => share.toFixed(3)).join(" ")}`);
  lines.push(times.join(", "));
  lines.push(`weights ${mb(bytes.weights)}, activations ${mb(bytes.activations)}, states ${mb(bytes.states)}`);
  return `${lines.join("\n")}\n`;
}
