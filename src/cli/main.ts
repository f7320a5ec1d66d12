import { version } from "../../package.json";
import { fail, KinemaError } from "../core/fail.ts";
import { parseArguments } from "./args.ts";
import type { Command } from "./command.ts";
import { commands } from "./commands.ts";
import { commandHelp, programHelp } from "./help.ts";
import { nearest } from "./nearest.ts";
import { createProgress, type Terminal } from "./progress.ts";

const EXIT = { done: 0, checkFailed: 1, badInput: 2, SIGINT: 130, SIGTERM: 143 } as const;
const ENDING_MS = 3000;

/** Where a run of the program writes to, and what stops it. */
export interface Streams {
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly signal: AbortSignal;
}

/** Runs one command line (without "node" and "kinema") and returns its exit code: 0, 1 or 2. Never throws. */
export async function main(
  argv: readonly string[],
  streams: Streams,
  table: readonly Command[] = commands,
): Promise<number> {
  const progress = createProgress(streams.stderr);
  const write = (stream: Terminal, text: string): void => {
    progress.clear();
    stream.write(text);
  };
  try {
    const [name, ...rest] = argv;
    if (name === "--help" || name === "-h" || name === "help") write(streams.stdout, programHelp(table, version));
    else if (name === "--version") write(streams.stdout, `${version}\n`);
    else {
      const command = chooseCommand(name, table);
      const flags = rest.includes("--") ? rest.slice(0, rest.indexOf("--")) : rest;
      if (flags.includes("--help") || flags.includes("-h")) {
        write(streams.stdout, commandHelp(command));
        return EXIT.done;
      }
      const print = (text: string) => write(streams.stdout, text);
      const note = (line: string) => write(streams.stderr, `${line}\n`);
      const args = parseArguments(command, rest);
      await command.run({ args, signal: streams.signal, progress, print, note });
    }
    return EXIT.done;
  } catch (error) {
    write(streams.stderr, report(error));
    return error instanceof KinemaError && error.code === "not-converged" ? EXIT.checkFailed : EXIT.badInput;
  } finally {
    progress.clear();
  }
}

function chooseCommand(name: string | undefined, table: readonly Command[]): Command {
  const names = table.map((command) => command.name);
  const found = table.find((command) => command.name === name);
  if (found) return found;
  if (name === undefined) return fail("usage", `no command; give one of ${names.join(", ")}, or --help`);
  const near = nearest(name, names);
  const advice = near ? `did you mean ${near}?` : `give one of ${names.join(", ")}, or --help`;
  return fail("usage", `unknown ${name.startsWith("-") ? "flag" : "command"} ${name}; ${advice}`);
}

/** One line, and with KINEMA_DEBUG=1 the stack and its causes. */
function report(error: unknown): string {
  const message = error instanceof Error ? error.message || error.name : String(error);
  const line = `kinema: ${message.replace(/\s*\n\s*/g, " ").trim()}\n`;
  if (!process.env.KINEMA_DEBUG) return line;
  const stacks: string[] = [];
  for (let at = error; at instanceof Error && stacks.length < 8; at = at.cause) stacks.push(at.stack ?? at.message);
  return `${line}${stacks.join("\ncaused by ")}\n`;
}

/** Runs the program for this process: its arguments, streams and signals; ends the process. */
export async function start(): Promise<void> {
  const controller = new AbortController();
  let code: number | null = null;
  const stop = (signal: "SIGINT" | "SIGTERM"): void => {
    if (code !== null) process.exit(code); // asked for twice: at once; what runs at exit still ends the browser
    code = EXIT[signal];
    controller.abort(new KinemaError("closed", `stopped by ${signal}`));
    setTimeout(() => process.exit(code!), ENDING_MS).unref();
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      process.stderr.write(report(error));
      process.exit(EXIT.badInput);
    });
  }
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    process.exit(error.code === "EPIPE" ? EXIT.done : EXIT.badInput); // "kinema ... | head" is no failure
  });
  const streams = { stdout: process.stdout, stderr: process.stderr, signal: controller.signal };
  const result = await main(process.argv.slice(2), streams);
  process.stdout.write("", () => process.exit(code ?? result)); // after what is still on its way to a pipe
}
