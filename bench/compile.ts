// What does each pipeline of a model take to compile? One after another, in processor time, the least of three.
//   node tools/run.mjs bench/compile.ts [--model tsm-mobilenetv2-online --size 224 --frames 8]
import { parseArgs } from "node:util";
import { variantName } from "../src/core/kernel.ts";
import { plan } from "../src/core/plan.ts";
import { specialise } from "../src/core/specialise.ts";
import { openGpu } from "../src/gpu/device.ts";
import { openDawn } from "../src/host/dawn.ts";
import { buildModel, type ModelName } from "../src/models/index.ts";
import { describeModel } from "../test/describe_model.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "tsm-mobilenetv2-online" },
    size: { type: "string", default: "224" },
    frames: { type: "string", default: "8" },
  },
});
const model = flags.model as ModelName;
const [size, clip] = [Number(flags.size), Number(flags.frames)];
const frames = model.endsWith("-online") ? 1 : clip;
const dawn = await openDawn();
const gpu = await openGpu({ gpu: dawn.gpu });
const graph = buildModel(describeModel(model, { frames, height: size, width: size }));
const variants = new Map(
  plan(graph, gpu.caps).steps.map(({ dispatch: d }) => [
    variantName(d.kernel, d.consts, d.retype),
    specialise(d.kernel, d.consts, d.retype),
  ]),
);

/** Not the asynchronous call: while it is pending, Dawn in Node asks for news as fast as it can. */
function compileMs(code: string, round: number): number {
  const before = process.cpuUsage();
  const fresh = `${code}\n// ${round}\nconst FRESH_${round} = ${Math.floor(Math.random() * 1e9)};`; // in no cache
  const module = gpu.device.createShaderModule({ code: fresh });
  gpu.device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

console.log(`${model} ${frames}x${size}, ${gpu.adapter}`);
let total = 0;
for (const [name, code] of variants) {
  const ms = Math.min(...[0, 1, 2].map((round) => compileMs(code, round)));
  total += ms;
  console.log(`${ms.toFixed(0).padStart(6)} ms  ${name}`);
}
console.log(`${total.toFixed(0).padStart(6)} ms  ${variants.size} pipelines`);
gpu.dispose();
dawn.close();
