import { fail } from "../core/fail.ts";
import { openGpu } from "../gpu/device.ts";
import { openDawn } from "../host/dawn.ts";
import { fileSource } from "../host/file_source.ts";
import { tuningFile, writeTuning } from "../host/tuning.ts";
import { MODEL_NAMES } from "../models/index.ts";
import { withPrecision } from "../precision.ts";
import { prepared } from "../profile.ts";
import { type TunedClass, tune } from "../tune.ts";
import { openCheckpoint } from "../weights/checkpoint.ts";
import { type Command, DTYPE, dtypeOf } from "./command.ts";
import { modelNamed } from "./execute.ts";

/** `kinema tune [MODEL] [--weights F]`. */
export const tuneCommand: Command = {
  name: "tune",
  summary:
    "measure which kernels suit this adapter best for a model; run, verify, profile, augment and classify of codes in Node then take those",
  positionals: [{ name: "MODEL", optional: true, text: `${MODEL_NAMES.join(", ")}; or give --weights` }],
  flags: [
    { name: "weights", value: "FILE", text: "a .safetensors, .pth, .pth.tar or .pt file" },
    {
      name: "frames",
      value: "T",
      allowed: "count",
      text: "frames in the clip (default: the checkpoint's or the model's)",
    },
    DTYPE,
    { name: "json", text: "print one JSON object, with the time of every body" },
  ],
  async run({ args, signal, progress, print, note }) {
    const [model, weights, frames] = [args.optional("MODEL"), args.text("weights"), args.number("frames")];
    if (weights === undefined && model === undefined)
      fail("usage", `nothing to tune for; name a model (${MODEL_NAMES.join(", ")}) or give --weights FILE`);
    const options = { ...(model ? { model: modelNamed(model) } : {}), ...(frames ? { frames } : {}) };
    const checkpoint = weights === undefined ? null : await openCheckpoint(await fileSource(weights));
    const { graph } = prepared(checkpoint, options);
    const dawn = await openDawn();
    try {
      using opened = await openGpu({ gpu: dawn.gpu });
      const gpu = await withPrecision(opened, dtypeOf(args), signal);
      const onProgress = (fraction: number) => progress.update("tune", fraction);
      const { tuning, classes } = await tune(gpu, graph, { signal, onProgress });
      writeTuning(tuning);
      const { f16, matrices = [], weights: form } = gpu.caps;
      const report = { model: graph.name, adapter: dawn.adapterDescription, f16, matrices, form, classes };
      print(args.has("json") ? `${JSON.stringify(report)}\n` : table(classes));
      note(`${graph.name} on ${dawn.adapterDescription}: kept in ${tuningFile()}`);
    } finally {
      dawn.close();
    }
  },
};

/** A line a class: the product, what is best for it and takes how long, and what would be taken without a tuning. */
export function table(classes: readonly TunedClass[]): string {
  const time = (ms: number | undefined) => (ms === undefined ? "wrong" : `${ms.toFixed(3)} ms`);
  const rows = classes.map(({ class: name, node, best, guess, ms }) => [
    name,
    node,
    `${best} ${time(ms[best])}`,
    guess === best ? "" : `untuned ${guess} ${time(ms[guess])}`,
  ]);
  const widths = [0, 1, 2].map((i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((text, i) => text.padEnd(widths[i] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}
