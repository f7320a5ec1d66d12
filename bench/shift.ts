// What does the temporal shift cost? The same network with and without it, interleaved in one process.
//   npm run bench:shift [-- --model tsm-mobilenetv2 --runs 15 --size 224 --frames 8]
//   npm run bench:shift -- --layers [--runs 5]     # layer by layer, by the profiler: what each shift costs, and its share of the network
import { parseArgs } from "node:util";
import { openGpu } from "../src/gpu/device.ts";
import { openDawn } from "../src/host/dawn.ts";
import { buildModel, type ModelName, standardShift } from "../src/models/index.ts";
import { createSession, type Session } from "../src/session.ts";
import { describeModel } from "../test/describe_model.ts";
import { syntheticTensors } from "../test/synthetic_model.ts";
import { median } from "./rival/compare.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "tsm-mobilenetv2" },
    runs: { type: "string" },
    layers: { type: "boolean", default: false },
    size: { type: "string", default: "224" },
    frames: { type: "string", default: "8" },
  },
});
const model = flags.model as ModelName;
const [size, frames, runs] = [Number(flags.size), Number(flags.frames), Number(flags.runs ?? (flags.layers ? 5 : 15))];
const shifted = new Set(standardShift(model));

const dawn = await openDawn();
const gpu = await openGpu({ gpu: dawn.gpu });
console.log(`${model} ${frames}x${size}, ${gpu.adapter}`);

async function open(units: ReadonlySet<string>) {
  const graph = buildModel(describeModel(model, { frames, height: size, width: size, shifted: units }));
  return createSession(gpu, graph, syntheticTensors(graph));
}

const sessions = { with: await open(shifted), without: await open(new Set()) };
const input = Float32Array.from({ length: frames * size * size * 3 }, (_, i) => Math.sin(i));
const logits: Record<string, Float32Array> = {};

/** Wall time, and processor time over all threads: on a software adapter the second is what a busy machine does not disturb. */
async function time(which: keyof typeof sessions): Promise<{ wall: number; cpu: number }> {
  const [cpu, start] = [processorMs(), performance.now()];
  logits[which] = (await sessions[which].run({ video: input })).logits!;
  return { wall: performance.now() - start, cpu: processorMs() - cpu };
}

/** Processor time over all threads, ms. */
function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Milliseconds of each node of a session, by its profile; on a software adapter in processor time, which a busy machine does not disturb. */
async function nodeTimes(session: Session): Promise<{ clock: string; ms: Map<string, number> }> {
  const software = gpu.caps.kind === "cpu";
  const clock = software ? ({ clock: "submits", now: processorMs } as const) : {};
  const profile = await session.profile({ video: input }, { runs: 1, ...clock });
  const ms = new Map<string, number>();
  for (const step of profile.steps) ms.set(step.node, (ms.get(step.node) ?? 0) + step.ms);
  return { clock: software ? "processor time" : profile.clock, ms };
}

/** Profiles both by turns and prints, of each shifted layer and of all others together, the medians over the runs. */
async function layerByLayer(): Promise<void> {
  const seen = { with: [] as Map<string, number>[], without: [] as Map<string, number>[] };
  let clock = "";
  for (let i = 0; i < runs; i++)
    for (const which of i % 2 ? (["with", "without"] as const) : (["without", "with"] as const)) {
      const times = await nodeTimes(sessions[which]);
      seen[which].push(times.ms);
      clock = times.clock;
    }
  const all = [...seen.without[0]!.keys()];
  const sum = (ms: Map<string, number>, nodes: readonly string[]) =>
    nodes.reduce((total, node) => total + ms.get(node)!, 0);
  const network = median(seen.without.map((ms) => sum(ms, all)));
  const line = (name: string, nodes: readonly string[]) => {
    const [a, b] = [seen.with.map((ms) => sum(ms, nodes)), seen.without.map((ms) => sum(ms, nodes))];
    const cost = median(a.map((ms, i) => ms - b[i]!));
    const cells = [
      median(a).toFixed(2),
      median(b).toFixed(2),
      cost.toFixed(2),
      `${((100 * cost) / network).toFixed(2)} %`,
    ];
    console.log(`${name.padEnd(28)}${cells.map((cell) => cell.padStart(12)).join("")}`);
  };
  console.log(`${clock}, ms, medians of ${runs} runs by turns; the network without shift ${network.toFixed(1)}`);
  console.log(`${"layer".padEnd(28)}${["with", "without", "costs", "of network"].map((s) => s.padStart(12)).join("")}`);
  const own = all.filter((node) => shifted.has(node));
  for (const node of own) line(node, [node]);
  line(`${own.length} shifted layers`, own);
  // The same kernels in both: what differs here is noise.
  line(
    "all others",
    all.filter((node) => !shifted.has(node)),
  );
}

for (const which of ["with", "without"] as const) await time(which);
if (logits.with!.every((v, i) => v === logits.without![i])) throw new Error("the shift changed nothing: not timing it");
if (flags.layers) await layerByLayer();
else await whole();

async function whole(): Promise<void> {
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
}

for (const session of Object.values(sessions)) session.dispose();
gpu.dispose();
dawn.close();
