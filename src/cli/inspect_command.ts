import type { Command } from "./command.ts";
import { inspect } from "./inspect.ts";

/** `kinema inspect FILE [--json]`. */
export const inspectCommand: Command = {
  name: "inspect",
  summary: "say what a weight file holds, from its header alone",
  positionals: [{ name: "FILE", text: "a .safetensors, .pth, .pth.tar or .pt file" }],
  flags: [{ name: "json", text: "print one JSON object" }],
  async run({ args, print }) {
    print(`${(await inspect(args.positional("FILE"), { json: args.has("json") })).trimEnd()}\n`);
  },
};
