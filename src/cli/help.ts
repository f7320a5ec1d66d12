import type { Command, Flag } from "./command.ts";

const HELP: Flag = { name: "help", text: "print this and end" };

/** Help of the whole program, from its table of commands. */
export function programHelp(commands: readonly Command[], version: string): string {
  const rows = commands.map((command) => [usage(command), command.summary] as const);
  return `kinema ${version}: video understanding on WebGPU

${table(rows)}

kinema COMMAND --help lists the flags of one; kinema --version prints the version.
Exit codes: 0 done, 1 a check failed, 2 bad input or usage.
`;
}

/** Help of one command, from its table of positionals and flags. */
export function commandHelp(command: Command): string {
  const positionals = command.positionals.map(({ name, text }) => [name, text] as const);
  const flags = [...command.flags, HELP].map((flag) => [written(flag), described(flag)] as const);
  return `kinema ${usage(command)} [flags]: ${command.summary}

${table([...positionals, ...flags])}
`;
}

function usage(command: Command): string {
  return [command.name, ...command.positionals.map(({ name, optional }) => (optional ? `[${name}]` : name))].join(" ");
}

function written(flag: Flag): string {
  return flag.value === undefined ? `--${flag.name}` : `--${flag.name} ${flag.value}`;
}

function described(flag: Flag): string {
  const allowed = Array.isArray(flag.allowed) ? `: ${flag.allowed.join(", ")}` : "";
  return `${flag.text}${allowed}${flag.repeats ? " (may be repeated)" : ""}`;
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}
