// What does the temporal shift cost? The same network with and without it, interleaved in one process.
//   npm run bench:shift [-- --model tsm-mobilenetv2 --runs 15 --size 224]
import { parseArgs } from "node:util";
import { openGpu } from "../src/gpu/device.ts";
import { openDawn } from "../src/host/dawn.ts";
import { buildModel, type ModelName, standardShift } from "../src/models/index.ts";
import { createSession } from "../src/session.ts";
import { describeModel } from "../test/describe_model.ts";
import { syntheticTensors } from "../test/synthetic_model.ts";
import { median } from "./rival/compare.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "tsm-mobilenetv2" },
    runs: { type: "string", default: "15" },
    size: { type: "string", default: "224" },
    frames: { type: "string", default: "8" },
  },
});
const model = flags.model as ModelName;
const [size, frames, runs] = [Number(flags.size), Number(flags.frames), Number(flags.runs)];

const dawn = await openDawn();
const gpu = await openGpu({ gpu: dawn.gpu });
console.log(`${model} ${frames}x${size}, ${gpu.adapter}`);

async function open(shifted: ReadonlySet<string>) {
  const graph = buildModel(describeModel(model, { frames, height: size, width: size, shifted }));
  return createSession(gpu, graph, syntheticTensors(graph));
}

const sessions = { with: await open(new Set(standardShift(model))), without: await open(new Set()) };
const input = Float32Array.from({ length: frames * size * size * 3 }, (_, i) => Math.sin(i));
const logits: Record<string, Float32Array> = {};

/** Wall time, and processor time over all threads: on a software adapter the second is what a busy machine does not disturb. */
async function time(which: keyof typeof sessions): Promise<{ wall: number; cpu: number }> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  logits[which] = (await sessions[which].run({ video: input })).logits!;
  const used = process.cpuUsage(cpu);
  return { wall: performance.now() - start, cpu: (used.user + used.system) / 1000 };
}

for (const which of ["with", "without"] as const) await time(which);
if (logits.with!.every((v, i) => v === logits.without![i])) throw new Error("the shift changed nothing: not timing it");
const times = { with: [] as { wall: number; cpu: number }[], without: [] as { wall: number; cpu: number }[] };
for (let i = 0; i < runs; i++) {
  // The order alternates, so that a drift of the machine falls on both.
  for (const which of i % 2 ? (["with", "without"] as const) : (["without", "with"] as const))
    times[which].push(await time(which));
}
for (const clock of ["wall", "cpu"] as const) {
  const [a, b] = [median(times.with.map((t) => t[clock])), median(times.without.map((t) => t[clock]))];
  const pairs = median(times.with.map((t, i) => t[clock] / times.without[i]![clock]));
  console.log(
    `${clock.padEnd(4)}  with shift ${a.toFixed(1)} ms, without ${b.toFixed(1)} ms; median of ${runs} paired ratios ${pairs.toFixed(4)}`,
  );
}
for (const session of Object.values(sessions)) session.dispose();
gpu.dispose();
dawn.close();
