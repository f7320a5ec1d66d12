// The bench without a page to look at: ceilings, every kernel, every model.
//   npm run bench -- --on chromium|node|deno [--json F] [--case NAME ...] [--quick] [--list]
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { checkPlace } from "../src/cli/output.ts";
import { KinemaError } from "../src/core/fail.ts";
import { HOSTS, type HostName } from "./hosts.ts";
import { printReport } from "./report.ts";
import { CASE_NAMES, chooseCases } from "./run.ts";

const USAGE = "npm run bench -- --on chromium|node|deno [--json F] [--case NAME ...] [--quick] [--list]";

function flagsOf() {
  const { values } = parseArgs({
    options: {
      on: { type: "string", default: "node" },
      json: { type: "string" },
      case: { type: "string", multiple: true, default: [] },
      quick: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
    },
  });
  if (!Object.hasOwn(HOSTS, values.on))
    throw new KinemaError("usage", `--on is one of ${Object.keys(HOSTS).join(", ")}`);
  chooseCases(values.case, values.quick);
  return { ...values, on: values.on as HostName };
}

/** The commit that is measured, with + where the tree differs from it; "unknown" outside of a repository. */
function commitOf(): string {
  const git = (...args: string[]) =>
    execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  try {
    return git("rev-parse", "--short", "HEAD").trim() + (git("status", "--porcelain", "src", "kernels") ? "+" : "");
  } catch {
    return "unknown";
  }
}

try {
  const flags = flagsOf();
  if (flags.list) console.log(CASE_NAMES.join("\n"));
  else {
    if (flags.json) await checkPlace(flags.json, "--json"); // before minutes of work, not behind them
    const options = { cases: flags.case, quick: flags.quick, commit: commitOf() };
    const report = await HOSTS[flags.on](options, (line) => console.error(line));
    console.log(printReport(report));
    if (flags.json) writeFileSync(flags.json, `${JSON.stringify(report, null, 1)}\n`);
    // A kernel that is wrong fails the bench, however fast the others are.
    if ([...report.kernels, ...report.models].some(({ refused }) => refused !== null)) process.exitCode = 1;
  }
} catch (error) {
  const code = String((error as { code?: unknown } | null)?.code);
  console.error(error instanceof KinemaError || code.startsWith("ERR_PARSE_ARGS") ? (error as Error).message : error);
  if (code === "usage" || code.startsWith("ERR_PARSE_ARGS")) console.error(`usage: ${USAGE}`);
  process.exitCode = 2;
}
