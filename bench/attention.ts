// What is a fused attention worth? One kernel against packed operands, matmul, softmax and matmul for every head, interleaved in one process.
//   npm run bench:attention [-- --tokens 197 --heads 12 --head 64 --runs 15 --json]
import { parseArgs } from "node:util";
import { type Graph, GraphBuilder } from "../src/core/graph.ts";
import { tensor } from "../src/core/tensor.ts";
import { openGpu } from "../src/gpu/device.ts";
import { openDawn } from "../src/host/dawn.ts";
import { zeroBias } from "../src/models/layers.ts";
import { attention, LINEAR, matmul, packOperand, softmax } from "../src/ops/index.ts";
import { createSession } from "../src/session.ts";
import { Random } from "../test/cases/random.ts";
import { median } from "./rival/compare.ts";

const { values: flags } = parseArgs({
  options: {
    tokens: { type: "string", default: "197" },
    heads: { type: "string", default: "12" },
    head: { type: "string", default: "64" },
    runs: { type: "string", default: "15" },
    json: { type: "boolean", default: false },
  },
});
const [tokens, heads, head, runs] = [Number(flags.tokens), Number(flags.heads), Number(flags.head), Number(flags.runs)];
const width = heads * head;
const flops = 4 * tokens * tokens * width;

function fused(): Graph {
  const g = new GraphBuilder("fused");
  const qkv = g.input("qkv", tensor(1, tokens, 3 * width));
  g.output("y", g.apply(attention, "attention", { qkv }, { heads }).y!);
  return g.build();
}

/** Queries come scaled and every head's operands contiguous, so that nothing is timed but the products and the softmax. */
function unfused(): Graph {
  const g = new GraphBuilder("unfused");
  const [noScores, noSums] = [zeroBias(g, "scores.bias", tokens), zeroBias(g, "sums.bias", head)];
  for (let h = 0; h < heads; h++) {
    const [q, k, v] = ["q", "k", "v"].map((part) => g.input(`${part}${h}`, tensor(tokens, head)));
    const keys = g.apply(packOperand, `keys${h}`, { x: k }, { transposed: false }).w;
    const values = g.apply(packOperand, `values${h}`, { x: v }, { transposed: true }).w;
    const product = { out: tokens, activation: LINEAR };
    const scores = g.apply(matmul, `scores${h}`, { x: q, w: keys, bias: noScores }, product).y;
    const shares = g.apply(softmax, `shares${h}`, { x: scores }, {}).y;
    const sums = { out: head, activation: LINEAR };
    g.output(`y${h}`, g.apply(matmul, `sums${h}`, { x: shares, w: values, bias: noSums }, sums).y!);
  }
  return g.build();
}

const dawn = await openDawn();
const gpu = await openGpu({ gpu: dawn.gpu });
const qkv = new Random(7).normal(tokens, 3 * width);
const feeds: Record<string, Float32Array<ArrayBuffer>> = {};
for (const [p, part] of ["q", "k", "v"].entries())
  for (let h = 0; h < heads; h++) {
    const scale = part === "q" ? 1 / Math.sqrt(head) : 1;
    feeds[part + h] = new Float32Array(tokens * head).map(
      (_, i) => qkv[Math.floor(i / head) * 3 * width + p * width + h * head + (i % head)]! * scale,
    );
  }
const sessions = {
  fused: { session: await createSession(gpu, fused(), new Map()), feeds: { qkv } },
  unfused: { session: await createSession(gpu, unfused(), new Map()), feeds },
};
type Which = keyof typeof sessions;

/** Wall time, and processor time over all threads: on a software adapter the second is what a busy machine does not disturb. */
async function time(which: Which): Promise<{ wall: number; cpu: number; y: Record<string, Float32Array> }> {
  const { session, feeds } = sessions[which];
  const cpu = process.cpuUsage();
  const start = performance.now();
  const y = await session.run(feeds as Record<string, Float32Array<ArrayBuffer>>);
  const used = process.cpuUsage(cpu);
  return { wall: performance.now() - start, cpu: (used.user + used.system) / 1000, y };
}

// Equal first: a softmax's shares are off by a few units in the last place, and so is what they weight.
const [one, many] = [(await time("fused")).y.y!, (await time("unfused")).y];
let [off, largest] = [0, 0];
for (let i = 0; i < one.length; i++) {
  const [token, channel] = [Math.floor(i / width), i % width];
  const other = many[`y${Math.floor(channel / head)}`]![token * head + (channel % head)]!;
  off = Math.max(off, Math.abs(one[i]! - other));
  largest = Math.max(largest, Math.abs(other));
}
if (!(off <= 1e-4 * largest))
  throw new Error(`the two differ by ${off} where the largest is ${largest}: not timing them`);

const times: Record<Which, { wall: number; cpu: number }[]> = { fused: [], unfused: [] };
for (let i = 0; i < runs; i++) {
  // The order alternates, so that a drift of the machine falls on both.
  for (const which of i % 2 ? (["fused", "unfused"] as const) : (["unfused", "fused"] as const))
    times[which].push(await time(which));
}
const result = (["wall", "cpu"] as const).map((clock) => {
  const [a, b] = (["fused", "unfused"] as const).map((which) => median(times[which].map((t) => t[clock]))) as [
    number,
    number,
  ];
  const ratio = median(times.unfused.map((t, i) => t[clock] / times.fused[i]![clock]));
  return { clock, fusedMs: a, unfusedMs: b, ratio, gflops: flops / a / 1e6, unfusedGflops: flops / b / 1e6 };
});
if (flags.json) {
  console.log(JSON.stringify({ adapter: gpu.adapter, tokens, heads, head, runs, off, largest, result }));
} else {
  console.log(
    `attention of ${tokens} tokens, ${heads} heads of ${head}, ${gpu.adapter}; off by ${off.toExponential(1)}`,
  );
  for (const { clock, fusedMs, unfusedMs, ratio, gflops } of result)
    console.log(
      `${clock.padEnd(4)}  fused ${fusedMs.toFixed(1)} ms (${gflops.toFixed(2)} GFLOP/s), unfused ${unfusedMs.toFixed(1)} ms; median of ${runs} paired ratios ${ratio.toFixed(2)}`,
    );
}
for (const { session } of Object.values(sessions)) session.dispose();
gpu.dispose();
dawn.close();
