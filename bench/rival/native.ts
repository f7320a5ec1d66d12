// Kinema beside onnxruntime's native engine, in turns in this Node process: both through the GPU's own driver, no browser.
//   node tools/run.mjs bench/rival/native.ts [--provider webgpu|cpu] [--case NAME ...] [--rounds N] [--budget SECONDS] [--json F]
import { existsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureCeilings } from "../../src/ceilings.ts";
import { fail, KinemaError } from "../../src/core/fail.ts";
import { openGpu } from "../../src/gpu/device.ts";
import { openDawn } from "../../src/host/dawn.ts";
import { commitOf } from "../../tools/commit.mjs";
import { joinReport, reportIn } from "../command.ts";
import { printReport, type RivalResult, refusedOf } from "../report.ts";
import { startReport } from "../run.ts";
import { CASE_NAMES, type CaseName, inKinemasOrder, inputOf, openKinema, RIVAL_CASES } from "./cases.ts";
import { type Engine, sideBySide } from "./compare.ts";
import type { OrtModule } from "./ort.ts";

const PROVIDERS = ["webgpu", "cpu"] as const;
const FOLDER = join(process.cwd(), "bench", "rival");

function flagsOf(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      provider: { type: "string", default: "webgpu" },
      case: { type: "string", multiple: true, default: [] },
      rounds: { type: "string", default: "15" },
      budget: { type: "string", default: "600" },
      json: { type: "string" },
    },
  });
  const provider = PROVIDERS.find((name) => name === values.provider);
  if (!provider) fail("usage", `--provider is one of ${PROVIDERS.join(", ")}`);
  const wrong = values.case.find((name) => !(CASE_NAMES as string[]).includes(name));
  if (wrong !== undefined) fail("usage", `no case for rivals is called ${wrong}; there are ${CASE_NAMES.join(", ")}`);
  const [rounds, budget] = [Number(values.rounds), Number(values.budget)];
  for (const [name, value] of Object.entries({ rounds, budget }))
    if (!Number.isInteger(value) || value < 1) fail("usage", `--${name} is a whole number from 1`);
  const cases = CASE_NAMES.filter((name) => values.case.length === 0 || values.case.includes(name));
  return { provider, cases, limits: { rounds, budget }, json: values.json };
}

/** onnxruntime-node out of this folder's own node_modules, which the root does not have. */
function onnxruntime(): OrtModule & { version: string } {
  const from = createRequire(join(FOLDER, "package.json"));
  try {
    const { version } = from("onnxruntime-node/package.json") as { version: string };
    return { ...(from("onnxruntime-node") as OrtModule), version };
  } catch (error) {
    return fail("usage", "onnxruntime-node is not installed: cd bench/rival && npm ci --ignore-scripts", {}, error);
  }
}

async function openNative(provider: (typeof PROVIDERS)[number], name: CaseName): Promise<Engine> {
  const { Tensor, InferenceSession, version } = onnxruntime();
  const file = join(FOLDER, "models", `${name}.onnx`);
  if (!existsSync(file))
    throw new Error(`models/${name}.onnx is not there; run tools/reference/export_onnx.py ${name}`);
  const start = performance.now();
  // On WebGPU no node may fall back to the CPU.
  const extra = provider === "webgpu" ? { session: { disable_cpu_ep_fallback: "1" } } : {};
  const options = { executionProviders: [provider], graphOptimizationLevel: "all", extra };
  const session = await InferenceSession.create(file, options);
  const prepareMs = performance.now() - start;
  const { shape, output } = RIVAL_CASES[name];
  const data = inputOf(name);
  const run = async () => {
    const outputs = await session.run({ [session.inputNames[0]!]: new Tensor("float32", data, shape) });
    return (await outputs[session.outputNames[0]!]!.getData()).slice();
  };
  return { version, prepareMs, run, arrange: (y) => inKinemasOrder(y, output), close: () => session.release() };
}

async function main(): Promise<void> {
  const { provider, cases, limits, json } = flagsOf(process.argv.slice(2));
  const progress = (line: string) => console.error(line);
  onnxruntime(); // before anything starts
  const dawn = await openDawn(progress);
  using gpu = await openGpu({ gpu: dawn.gpu });
  const where = { commit: commitOf(process.cwd()), browser: `Node ${process.versions.node}, Dawn` };
  const report = startReport(gpu, where, await measureCeilings(gpu));
  const before = json ? reportIn(json) : null;
  const rivals: RivalResult[] = [];
  for (const name of cases) {
    progress(name);
    const opened: Engine[] = [];
    const rival = async () => {
      opened.push(await openNative(provider, name));
      return opened[0]!;
    };
    const made = await sideBySide({ ours: () => openKinema(gpu, name), rival }, limits, progress);
    const outcome = typeof made === "string" ? { refused: made, timing: null } : { refused: null, timing: made };
    const version = opened[0]?.version ?? "";
    rivals.push({ name, about: RIVAL_CASES[name].about, rival: `ort-node-${provider}`, version, ...outcome });
    if (json) writeFileSync(json, `${JSON.stringify(joinReport(before, { ...report, rivals }), null, 1)}\n`);
  }
  console.log(printReport({ ...report, rivals }));
  if (refusedOf({ ...report, rivals }).length > 0) process.exitCode = 1;
  dawn.close();
}

try {
  await main();
} catch (error) {
  console.error(error instanceof KinemaError ? error.message : error);
  process.exitCode = 2;
}
