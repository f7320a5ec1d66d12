// The command of the headless bench: flags in, a table and a JSON file out. Knows none of the places it runs in.
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { checkPlace } from "../src/cli/output.ts";
import { fail, KinemaError } from "../src/core/fail.ts";
import type { DType } from "../src/precision.ts";
import { printReport, type Report, readReport, refusedOf, withRivals } from "./report.ts";
import { choosePairs } from "./rival/engines.ts";
import type { BesideOptions } from "./rival/headless.ts";
import { type BenchOptions, type BenchProgress, CASE_NAMES, chooseCases } from "./run.ts";

export type Host = (options: Omit<BenchOptions, "browser">, progress: BenchProgress) => Promise<Report>;

export interface Surroundings {
  /** How the command is called. */
  readonly called: string;
  readonly commit: string;
  /** The places it can run in, the default first. */
  readonly hosts: Readonly<Record<string, Host>>;
  /** Runs Kinema beside its rivals; null where there are none. */
  readonly beside:
    | ((options: BesideOptions, progress: BenchProgress, keep: (report: Report) => void) => Promise<Report>)
    | null;
}

const LIMITS = { rounds: 5, budget: 600, batch: 1 };
const DTYPES: readonly DType[] = ["f32", "f16", "int8", "auto"];

function usageOf({ called, hosts, beside }: Surroundings): string {
  const on = Object.keys(hosts).length > 1 ? ` [--on ${Object.keys(hosts).join("|")}]` : "";
  const rivals = beside
    ? `\n       ${called} --beside all|RIVAL ... [--case NAME ...] [--rounds N] [--budget SECONDS] [--json F] [--list]`
    : "";
  return `usage: ${called}${on} [--json F] [--case NAME ...] [--quick] [--tune] [--dtype ${DTYPES.join("|")}] [--bodies] [--batch N] [--list]${rivals}`;
}

function flagsOf(given: readonly string[], { hosts, beside }: Surroundings) {
  const { values } = parseArgs({
    args: [...given],
    options: {
      on: { type: "string" },
      json: { type: "string" },
      case: { type: "string", multiple: true, default: [] },
      quick: { type: "boolean", default: false },
      tune: { type: "boolean", default: false },
      dtype: { type: "string" },
      bodies: { type: "boolean", default: false },
      batch: { type: "string" },
      list: { type: "boolean", default: false },
      beside: { type: "string", multiple: true },
      rounds: { type: "string" },
      budget: { type: "string" },
    },
  });
  const { on, beside: rivals, rounds, budget, tune, bodies, batch } = values;
  const dtype = DTYPES.find((name) => name === (values.dtype ?? "f32"));
  if (on !== undefined && !Object.hasOwn(hosts, on)) fail("usage", `--on is one of ${Object.keys(hosts).join(", ")}`);
  if (!rivals && (rounds ?? budget) !== undefined) fail("usage", "--rounds and --budget belong to --beside");
  if (rivals && !beside) fail("usage", "the rivals are not part of this bench");
  if (rivals && (on ?? "chromium") !== "chromium") fail("usage", "the rivals run in a page: --on chromium");
  if (rivals && (values.quick || tune || bodies || (values.dtype ?? batch) !== undefined))
    fail("usage", "--beside takes f32 models as they are; of these flags it has --case, --rounds and --budget");
  if (!dtype) fail("usage", `--dtype is one of ${DTYPES.join(", ")}`);
  if (tune && bodies) fail("usage", "--bodies times what --tune chooses from; give one of them");
  return {
    ...values,
    on: on ?? Object.keys(hosts)[0]!,
    dtype,
    batch: count(batch, "batch"),
    limits: { rounds: count(rounds, "rounds"), budget: count(budget, "budget") },
  };
}

function count(text: string | undefined, name: keyof typeof LIMITS): number {
  const value = text === undefined ? LIMITS[name] : Number(text);
  if (!Number.isInteger(value) || value < 1) fail("usage", `--${name} is a whole number from 1, not ${text}`);
  return value;
}

/**
 * What `--json` writes: a report joins one of the same adapter, place, commit, kind of weights and batch, and replaces any other. Rivals join those on file, so that a
 * long comparison can be made case by case, and stand in one file with the kernels and models; those of a run replace all on file, as shares of a
 * ceiling belong to the ceilings of their run.
 */
export function joinReport(before: Report | null, report: Report): Report {
  const same =
    before &&
    (["adapter", "browser", "commit", "weights", "batch"] as const).every((key) => before[key] === report[key]);
  if (!same) return report;
  const timed = report.kernels.length + report.models.length > 0;
  return withRivals(timed ? { ...report, rivals: before.rivals } : { ...before, date: report.date }, report.rivals);
}

/** The report that a file holds. */
export function reportIn(file: string): Report | null {
  try {
    return readReport(readFileSync(file, "utf8"), file);
  } catch {
    return null; // none, or another file: it is replaced
  }
}

/** Runs the command and sets the exit status: 0 done, 1 a case was refused, 2 it could not run. */
export async function benchCommand(given: readonly string[], around: Surroundings): Promise<void> {
  try {
    const flags = flagsOf(given, around);
    const { commit } = around;
    const progress = (line: string) => console.error(line);
    const rivals = flags.beside?.includes("all") ? [] : flags.beside;
    // Wrong names end it before anything starts.
    const pairs = rivals ? choosePairs(flags.case, rivals) : [];
    if (!rivals) chooseCases(flags.case, flags);
    if (flags.list) {
      console.log((rivals ? pairs.map(({ name, rival }) => `${name} beside ${rival}`) : CASE_NAMES).join("\n"));
      return;
    }
    if (flags.json) await checkPlace(flags.json, "--json"); // before minutes of work, not behind them
    const before = flags.json ? reportIn(flags.json) : null;
    const keep = (made: Report) => {
      if (flags.json) writeFileSync(flags.json, `${JSON.stringify(joinReport(before, made), null, 1)}\n`);
    };
    const { quick, tune: tuned, dtype, bodies, batch } = flags;
    const report = rivals
      ? await around.beside!({ cases: flags.case, rivals, commit, ...flags.limits }, progress, keep)
      : await around.hosts[flags.on]!({ cases: flags.case, quick, tuned, dtype, bodies, batch, commit }, progress);
    console.log(printReport(report));
    if (!rivals) keep(report);
    // A kernel that is wrong fails the bench, however fast the others are.
    if (refusedOf(report).length > 0) process.exitCode = 1;
  } catch (error) {
    const code = String((error as { code?: unknown } | null)?.code);
    console.error(error instanceof KinemaError || code.startsWith("ERR_PARSE_ARGS") ? (error as Error).message : error);
    if (code === "usage" || code.startsWith("ERR_PARSE_ARGS")) console.error(usageOf(around));
    process.exitCode = 2;
  }
}
