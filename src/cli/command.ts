import type { DType } from "../precision.ts";
import type { Progress } from "./progress.ts";

/** A flag `--name`, or `--name VALUE` when `value` is given. */
export interface Flag {
  readonly name: string;
  /** What help shows for the value: "FILE"; a flag without it is a switch. */
  readonly value?: string;
  /** The values allowed; "count" allows whole numbers from 1, "number" any with decimals or not. Anything, when absent. */
  readonly allowed?: readonly string[] | "count" | "number";
  /** May be given several times. */
  readonly repeats?: boolean;
  readonly text: string;
}

export interface Positional {
  /** As help shows it: "VIDEO". */
  readonly name: string;
  /** May be left out; only the last may. */
  readonly optional?: boolean;
  readonly text: string;
}

/** The command line of one command, checked against its table. */
export interface Arguments {
  /** Whether the switch or flag `name` is there. */
  has(name: string): boolean;
  /** Value of flag or positional `name`; undefined where it is absent. */
  text(name: string): string | undefined;
  /** Value of a "count" or "number" flag. */
  number(name: string): number | undefined;
  /** Values of a flag that repeats, in order. */
  all(name: string): readonly string[];
  /** Value of positional `name`, one that is required. */
  positional(name: string): string;
  /** Value of positional `name`, one that may be left out. */
  optional(name: string): string | undefined;
}

/** What a command is given. */
export interface CommandContext {
  readonly args: Arguments;
  /** Aborted on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** The bar on a terminal; does nothing elsewhere. */
  readonly progress: Progress;
  /** Writes to stdout: what the user asked for. */
  print(text: string): void;
  /** Writes a line to stderr: what he should know beside it. */
  note(line: string): void;
}

/** A command: one file that exports one, and one line in commands.ts. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly positionals: readonly Positional[];
  readonly flags: readonly Flag[];
  /** Ends normally for exit code 0; throws a KinemaError of code "not-converged" for 1, anything else for 2. */
  run(context: CommandContext): Promise<void>;
}

/** How the weights of matrix products are kept. */
export const DTYPE: Flag = {
  name: "dtype",
  value: "TYPE",
  allowed: ["f32", "f16", "int8", "auto"],
  text: "how the weights of matrix products are stored; auto: f16 where the adapter is faster with it (default f32)",
};

export const dtypeOf = (args: Arguments): DType => (args.text("dtype") as DType | undefined) ?? "f32";

/** Where a model runs; of `run` and `verify`. */
export const ON: Flag = {
  name: "on",
  value: "PLACE",
  allowed: ["node", "chromium"],
  text: "where WebGPU comes from: Dawn in this process, or a headless browser (default node)",
};
