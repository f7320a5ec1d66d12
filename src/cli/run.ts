import { fail } from "../core/fail.ts";
import { writeSafetensors } from "../weights/safetensors.ts";
import { type Command, type CommandContext, type Flag, ON } from "./command.ts";
import { execute, modelNamed, settings } from "./execute.ts";
import { checkPlace, writeWhole } from "./output.ts";

/** Flags that `run` and `verify` share. */
export const EXECUTION_FLAGS: readonly Flag[] = [
  { name: "weights", value: "FILE", text: "a .safetensors, .pth, .pth.tar or .pt file" },
  { name: "set", value: "KEY=VALUE", repeats: true, text: "padding=same, padding=symmetric, activations=MEGABYTES" },
  { name: "dtype", value: "TYPE", allowed: ["f32", "f16"], text: "how weights are stored (default f32)" },
  ON,
];

/** What `run` and `verify` pass on to the model, from their command line. */
export function execution({ args, signal, progress }: CommandContext) {
  return {
    model: modelNamed(args.positional("MODEL")),
    weights: args.text("weights") ?? fail("usage", "no weights; give --weights FILE"),
    on: args.text("on") === "chromium" ? ("chromium" as const) : ("node" as const),
    dtype: args.text("dtype") === "f16" ? ("f16" as const) : ("f32" as const),
    ...settings(args.all("set")),
    signal,
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
      text: 'safetensors with "video" [T,3,H,W], or "image" [N,3,H,W] for mobilenetv2 and vit',
    },
    { name: "out", value: "FILE", text: 'safetensors to write: "logits", or "features" without a classifier' },
  ],
  async run(context) {
    const { args, note } = context;
    const options = execution(context);
    const input = args.text("in") ?? fail("usage", "no input; give --in FILE");
    const out = args.text("out") ?? fail("usage", "no output; give --out FILE");
    await checkPlace(out, "--out");
    const { tensors, adapter, model, ms } = await execute({ ...options, input });
    const entries = tensors.map(
      ({ name, shape, data }) => [name, { dtype: "F32" as const, shape: [...shape], data }] as const,
    );
    await writeWhole(out, writeSafetensors(Object.fromEntries(entries), { model, adapter }));
    const names = tensors.map(({ name, shape }) => `${name} [${shape.join(", ")}]`).join(", ");
    note(
      `${names} to ${out}; ${model} on ${adapter}, prepare ${Math.round(ms.prepare)} ms, run ${Math.round(ms.run)} ms`,
    );
  },
};
