import { fail } from "../core/fail.ts";
import type { Arguments, Command, Flag } from "./command.ts";
import { nearest } from "./nearest.ts";

/**
 * Reads a command's arguments (without the command's own name): `--flag`, `--flag VALUE`, `--flag=VALUE`; `--` ends the
 * flags. Strict: throws `usage`, in one line, on an unknown or repeated flag, a missing or unexpected value or positional.
 */
export function parseArguments(command: Command, argv: readonly string[]): Arguments {
  const flags = new Map<string, string[]>();
  const positionals: string[] = [];
  const rest = [...argv];
  while (rest.length > 0) {
    const word = rest.shift()!;
    if (word === "--") positionals.push(...rest.splice(0));
    else if (word.startsWith("-") && word !== "-") readFlag(command, word, rest, flags);
    else positionals.push(word);
  }
  checkPositionals(command, positionals);
  const indexOf = (name: string) => command.positionals.findIndex((positional) => positional.name === name);
  return {
    has: (name) => flags.has(name),
    text: (name) => flags.get(name)?.[0],
    number: (name) => (flags.has(name) ? Number(flags.get(name)![0]) : undefined),
    all: (name) => flags.get(name) ?? [],
    positional: (name) => positionals[indexOf(name)]!,
    optional: (name) => positionals[indexOf(name)],
  };
}

/** Reads one flag and its value, which may be the first word of `rest`. */
function readFlag(command: Command, word: string, rest: string[], flags: Map<string, string[]>): void {
  const [written = "", inline] = splitOnce(word, "=");
  const flag = command.flags.find((candidate) => `--${candidate.name}` === written);
  if (!flag) unknownFlag(command, written);
  if (flags.has(flag.name) && !flag.repeats) misuse(command, `${written} is given twice; give it once`);
  if (flag.value === undefined) {
    if (inline !== undefined) misuse(command, `${written} takes no value`);
    flags.set(flag.name, []);
    return;
  }
  const value = inline ?? (rest[0]?.startsWith("--") ? undefined : rest.shift());
  if (value === undefined || value === "") misuse(command, `${written} needs a value: ${written} ${flag.value}`);
  checkValue(command, flag, value);
  flags.set(flag.name, [...(flags.get(flag.name) ?? []), value]);
}

function checkValue(command: Command, flag: Flag, value: string): void {
  if (flag.allowed === "count") {
    const fits = /^\d{1,15}$/.test(value) && Number(value) >= 1;
    if (!fits) misuse(command, `--${flag.name} ${value} is not a whole number from 1`);
  } else if (flag.allowed === "number") {
    if (!/^[+-]?(\d{1,6}(\.\d{0,9})?|\.\d{1,9})$/.test(value)) misuse(command, `--${flag.name} ${value} is no number`);
  } else if (flag.allowed && !flag.allowed.includes(value)) {
    misuse(command, `--${flag.name} ${value} is not one of ${flag.allowed.join(", ")}${suggest(value, flag.allowed)}`);
  }
}

function checkPositionals(command: Command, given: readonly string[]): void {
  const missing = command.positionals[given.length];
  if (missing && !missing.optional) misuse(command, `${missing.name} is missing (${missing.text})`);
  const extra = given[command.positionals.length];
  if (extra !== undefined) misuse(command, `unexpected argument "${extra}"`);
}

function unknownFlag(command: Command, written: string): never {
  const names = [...command.flags.map((flag) => `--${flag.name}`), "--help"];
  return misuse(command, `unknown flag ${written}${suggest(written, names)}`);
}

function suggest(word: string, candidates: readonly string[]): string {
  const near = nearest(word, candidates);
  return near ? `; did you mean ${near}?` : "";
}

function misuse(command: Command, what: string): never {
  return fail("usage", `${what} (kinema ${command.name} --help lists what it takes)`);
}

/** Splits at the first separator: "a=b=c" into "a" and "b=c". */
function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}
