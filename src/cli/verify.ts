import { compareTensors, stridesOf, type TensorError } from "../compare.ts";
import { fail } from "../core/fail.ts";
import { fileSource } from "../host/file_source.ts";
import { inputName, outputName, readTensors } from "../run.ts";
import { openCheckpoint } from "../weights/checkpoint.ts";
import type { Command } from "./command.ts";
import { execute } from "./execute.ts";
import { EXECUTION_FLAGS, execution } from "./run.ts";

/** `kinema verify MODEL --weights F --reference R`. */
export const verifyCommand: Command = {
  name: "verify",
  summary: "compare a model with reference tensors, node by node",
  positionals: [{ name: "MODEL", text: "the model, as inspect names it" }],
  flags: [
    ...EXECUTION_FLAGS,
    { name: "reference", value: "FILE", text: "safetensors with the input, the outputs and any tensors by node name" },
    { name: "json", text: "print one JSON object" },
  ],
  async run(context) {
    const { args, print, note } = context;
    const options = execution(context);
    const input = args.text("reference") ?? fail("usage", "no reference; give --reference FILE");
    const file = await openCheckpoint(await fileSource(input));
    const expected = [...file.tensors.keys()].filter((name) => name !== inputName(options.model));
    const least = `it needs at least "${outputName(options.model)}"`;
    if (expected.length === 0) fail("bad-input", `${input} holds nothing to compare with; ${least}`);
    const { tensors, adapter, model } = await execute({ ...options, input, taps: "all" });
    const got = new Map(tensors.map(({ name, ...tensor }) => [name, tensor]));
    const want = await readTensors(file, [...got.keys()]);
    const errors = compareTensors(got, want, stridesOf(file.metadata));
    if (errors.length === 0) fail("bad-input", `${input} names no tensor of ${model}; ${least}`);
    const unknown = expected.filter((name) => !got.has(name));
    if (unknown.length > 0) note(`not compared, as ${model} has no such tensor: ${unknown.join(", ")}`);
    const first = errors.find(({ ok }) => !ok) ?? null;
    if (args.has("json"))
      print(`${JSON.stringify({ model, adapter, ok: !first, first: first?.name ?? null, errors })}\n`);
    else print(asText(errors, model, adapter));
    if (first) fail("not-converged", `${first.name} is the first node that diverges: ${problem(first)}`);
  },
};

const problem = ({ problem, max, allowed, cosine }: TensorError): string =>
  problem ?? `off by ${max.toExponential(2)} where ${allowed.toExponential(2)} is allowed, cosine ${cosine.toFixed(7)}`;

function asText(errors: readonly TensorError[], model: string, adapter: string): string {
  const width = Math.max(...errors.map(({ name }) => name.length));
  const lines = errors.map((error) => `${error.ok ? "ok  " : "FAIL"}  ${error.name.padEnd(width)}  ${problem(error)}`);
  const good = errors.filter(({ ok }) => ok).length;
  return `${lines.join("\n")}\n${good} of ${errors.length} tensors agree; ${model} on ${adapter}\n`;
}
