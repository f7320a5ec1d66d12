// Kinema against onnxruntime-web's WebGPU provider: same model, weights and input, one page, runs interleaved.
//   cd bench/rival && npm ci && cd ../.. && python3 tools/reference/export_onnx.py && npm run bench:ort [-- --model tsm-mobilenetv2 --runs 3 --json F]
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { launchBrowser } from "../src/host/chromium.ts";
import { openPage } from "../src/host/page.ts";
import { agree, RIVAL_CASES, type RivalModel } from "./rival/cases.ts";
import type { RivalArgs, RivalResult } from "./rival/page.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "tsm-mobilenetv2" },
    runs: { type: "string", default: "3" },
    json: { type: "string" },
  },
});
const model = flags.model as RivalModel;
if (!RIVAL_CASES[model]) throw new Error(`--model is one of ${Object.keys(RIVAL_CASES).join(", ")}`);
const folder = join(process.cwd(), "bench", "rival");
const onnx = join(folder, "models", `${model}.onnx`);
const dist = join(folder, "node_modules", "onnxruntime-web", "dist");
if (!existsSync(onnx) || !existsSync(dist))
  throw new Error(
    "the rival is not there: cd bench/rival && npm ci --ignore-scripts, then python3 tools/reference/export_onnx.py",
  );

const bundle = join(process.cwd(), "node_modules", ".cache", "kinema", "rival.js");
await build({
  entryPoints: [join(folder, "page.ts")],
  bundle: true,
  format: "esm",
  outfile: bundle,
  logLevel: "error",
});
const browser = await launchBrowser();
const page = await openPage(browser, { bundle, roots: { ort: dist } });
try {
  const args: RivalArgs = {
    model,
    ...RIVAL_CASES[model],
    runs: Number(flags.runs),
    modelUrl: page.file(onnx),
    distUrl: `${page.root("ort")}/`,
  };
  const result = await page.call<RivalResult>("rival", args, { onProgress: (run) => console.error(`run ${run}`) });
  if (!agree(result)) throw new Error(`the two disagree by ${result.maxDifference}: not reported`);
  const { ours, rival } = result;
  console.log(`${model} ${args.shape.join("x")}, ${result.adapter}`);
  console.log(
    `Kinema           cold ${ours.coldMs.toFixed(0)} ms, median of ${ours.warmMs.length} warm ${ours.medianMs.toFixed(0)} ms (session made in ${result.prepareMs.toFixed(0)} ms)`,
  );
  console.log(
    `onnxruntime-web  cold ${rival.coldMs.toFixed(0)} ms, median of ${rival.warmMs.length} warm ${rival.medianMs.toFixed(0)} ms (session made in ${result.rivalPrepareMs.toFixed(0)} ms; version ${result.rivalVersion})`,
  );
  console.log(
    `onnxruntime-web takes ${result.ratio.toFixed(2)} times as long; outputs differ by ${result.maxDifference.toExponential(1)} of ${result.maxOutput.toFixed(2)}`,
  );
  if (flags.json) writeFileSync(flags.json, `${JSON.stringify({ model, ...result }, null, 1)}\n`);
} finally {
  await page.close();
  await browser.close();
}
