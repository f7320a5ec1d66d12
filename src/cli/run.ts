import { fail } from "../core/fail.ts";
import { inputName, outputName } from "../run.ts";
import { writeSafetensors } from "../weights/safetensors.ts";
import { type Command, type CommandContext, DTYPE, dtypeOf, type Flag, ON } from "./command.ts";
import { execute, modelNamed, settings } from "./execute.ts";
import { checkPlace, writeWhole } from "./output.ts";
import { drawPictures, isPng, withPicture } from "./pictures.ts";

/** Flags that `run` and `verify` share. */
export const EXECUTION_FLAGS: readonly Flag[] = [
  { name: "weights", value: "FILE", text: "a .safetensors, .pth, .pth.tar or .pt file" },
  { name: "set", value: "KEY=VALUE", repeats: true, text: "padding=same, padding=symmetric, activations=MEGABYTES" },
  DTYPE,
  ON,
];

/** What `run` and `verify` pass on to the model, from their command line. */
export function execution({ args, signal, progress, note }: CommandContext) {
  return {
    model: modelNamed(args.positional("MODEL")),
    weights: args.text("weights") ?? fail("usage", "no weights; give --weights FILE"),
    on: args.text("on") === "chromium" ? ("chromium" as const) : ("node" as const),
    dtype: dtypeOf(args),
    ...settings(args.all("set")),
    signal,
    note,
    onProgress: (phase: string, fraction: number) => progress.update(phase, fraction),
  };
}

/** `kinema run MODEL --weights F --in X --out Y`. */
export const runCommand: Command = {
  name: "run",
  summary: "run a model on named tensors",
  positionals: [{ name: "MODEL", text: "the model, as inspect names it" }],
  flags: [
    ...EXECUTION_FLAGS,
    {
      name: "in",
      value: "FILE",
      text: 'safetensors with "video" [T,3,H,W], for mobilenetv2, vit and taesd-encoder "image" [N,3,H,W], for decoders "latent" [N,L,h,w]; a .png for taesd-encoder',
    },
    {
      name: "out",
      value: "FILE",
      text: 'safetensors to write: "logits", "features" without a classifier, "latent", "image" or "video"; a .png for pictures',
    },
  ],
  async run(context) {
    const { args, note } = context;
    const options = execution(context);
    const input = args.text("in") ?? fail("usage", "no input; give --in FILE");
    const out = args.text("out") ?? fail("usage", "no output; give --out FILE");
    await checkPlace(out, "--out", [input, options.weights]);
    const gives = outputName(options.model);
    if (isPng(input) && options.model !== "taesd-encoder")
      fail("usage", `${options.model} takes no .png; give --in a safetensors file with "${inputName(options.model)}"`);
    if (isPng(out) && (gives === "logits" || gives === "latent"))
      fail("usage", `${options.model} gives ${gives}, which is no picture; give --out a .safetensors file`);
    const run = (file: string) => execute({ ...options, input: file });
    const { tensors, adapter, model, ms } = await (isPng(input) ? withPicture(input, run) : run(input));
    const entries = tensors.map(
      ({ name, shape, data }) => [name, { dtype: "F32" as const, shape: [...shape], data }] as const,
    );
    const file = isPng(out)
      ? drawPictures(tensors.find(({ name }) => name === gives)!)
      : writeSafetensors(Object.fromEntries(entries), { model, adapter });
    await writeWhole(out, file);
    const names = tensors.map(({ name, shape }) => `${name} [${shape.join(", ")}]`).join(", ");
    note(
      `${names} to ${out}; ${model} on ${adapter}, prepare ${Math.round(ms.prepare)} ms, run ${Math.round(ms.run)} ms`,
    );
  },
};
