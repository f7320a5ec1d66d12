import { fail } from "../core/fail.ts";
import { countMacs } from "../core/graph.ts";
import { keptBytes } from "../core/kept.ts";
import { variantName } from "../core/kernel.ts";
import type { Plan, Step } from "../core/plan.ts";
import type { Gpu } from "./device.ts";
import { unlessLost } from "./lost.ts";
import type { ReadyStep } from "./prepare.ts";
import { mapped, recordSteps, stagingBuffer } from "./record.ts";

export interface ProfileOptions {
  /** Measured runs, behind one that is not. Default 5. */
  readonly runs?: number;
  /** `submits`: do without timestamps, also where the device has them. */
  readonly clock?: "timestamps" | "submits";
  /** What `submits` are timed by, in ms: a software adapter's work can be told by this process's processor time. Default: wall time. */
  readonly now?: () => number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (fraction: number) => void;
}

/** One dispatch of a profiled run. */
export interface StepProfile {
  /** Its node, the node's op, and the kernel variant. */
  readonly node: string;
  readonly op: string;
  readonly kernel: string;
  /** Median over the runs. */
  readonly ms: number;
  /** Shortest of the runs. */
  readonly leastMs: number;
  /** Multiply-accumulates: the node's, at the dispatch that makes its output. */
  readonly macs: number;
  /** Bytes of the bound tensors, each whole and once, a sum in place twice. */
  readonly bytes: number;
}

export interface Profile {
  /**
   * How steps were timed: by the GPU's clock around a pass a step; or by wall time, one submit a step, less what an empty submit
   * takes.
   */
  readonly clock: "timestamps" | "submits";
  readonly runs: number;
  /** Medians of whole runs, from submit to done: as `run` does it, one pass and one submit; and step by step. */
  readonly ms: { readonly plain: number; readonly profiled: number };
  readonly steps: readonly StepProfile[];
}

/** What a session lends: its steps, how its inputs are filled, and the states, which a profile leaves as it found them. */
export interface Profiled {
  readonly gpu: Gpu;
  readonly plan: Plan;
  readonly steps: readonly ReadyStep[];
  readonly states: GPUBuffer;
  fill(encoder: GPUCommandEncoder): void;
  /** Throws once the session is closed. */
  check(): void;
}

const DEFAULT_RUNS = 5;
const MAX_RUNS = 1000;
/** WebGPU's limit for queries of a set, two of which time a step. */
const STEPS_PER_SET = 2048;

/** How many runs are measured. @throws "bad-input" for a number that makes no sense */
export function runsOf({ runs = DEFAULT_RUNS }: ProfileOptions): number {
  if (!Number.isInteger(runs) || runs < 1 || runs > MAX_RUNS)
    fail("bad-input", `a profile is of 1 to ${MAX_RUNS} runs, not ${runs}`);
  return runs;
}

/** Times every step of a session: plain and profiled runs by turns, so that a drift of the machine falls on both. */
export async function profileSteps(profiled: Profiled, options: ProfileOptions): Promise<Profile> {
  const runs = runsOf(options);
  const { gpu, states } = profiled;
  submit(profiled, profiled.fill); // throws for bad feeds before anything is made
  const backup = gpu.device.createBuffer({ label: "kinema/states kept", size: states.size, usage: COPY });
  const copyStates = (from: GPUBuffer, to: GPUBuffer) =>
    submit(profiled, (encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, states.size));
  copyStates(states, backup);
  let stopwatch: Stopwatch | undefined;
  try {
    const now = options.now ?? (() => performance.now());
    stopwatch = await openStopwatch(profiled, options.clock, now);
    const samples: Sample[] = [];
    for (let run = 0; run <= runs; run++) {
      copyStates(backup, states);
      const plain = await timed(profiled, now, (encoder) => {
        profiled.fill(encoder);
        recordSteps(encoder, profiled.steps);
      });
      const start = now();
      const steps = await stopwatch.run();
      samples.push({ plain, profiled: now() - start, steps });
      options.signal?.throwIfAborted();
      options.onProgress?.((run + 1) / (runs + 1));
    }
    return summary(profiled.plan, stopwatch.clock, samples.slice(1));
  } finally {
    stopwatch?.close();
    restore(profiled, () => copyStates(backup, states));
    backup.destroy();
  }
}

/** Puts the states back, unless they went with the session. */
function restore({ check }: Profiled, copy: () => void): void {
  try {
    check();
  } catch {
    return;
  }
  copy();
}

/** Times of a plain run, of a profiled one, and of its steps, ms. */
interface Sample {
  readonly plain: number;
  readonly profiled: number;
  readonly steps: Float64Array;
}

function summary(plan: Plan, clock: Profile["clock"], samples: readonly Sample[]): Profile {
  return {
    clock,
    runs: samples.length,
    ms: { plain: median(samples.map((s) => s.plain)), profiled: median(samples.map((s) => s.profiled)) },
    steps: plan.steps.map((_, i) => {
      const times = samples.map(({ steps }) => steps[i]!);
      return { ...untimed(plan, i), ms: median(times), leastMs: Math.min(...times) };
    }),
  };
}

/** A step's names and its work. */
export function untimed(plan: Plan, at: number): Omit<StepProfile, "ms" | "leastMs"> {
  const step = plan.steps[at]!;
  return {
    node: step.node.name,
    op: step.node.op.name,
    kernel: variantName(step.dispatch.kernel, step.dispatch.consts, step.dispatch.retype),
    macs: macsOf(plan, at),
    bytes: bytesOf(plan, step),
  };
}

function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** A node's multiply-accumulates count at its last dispatch, which makes the output. */
function macsOf({ graph, steps }: Plan, at: number): number {
  const { node } = steps[at]!;
  return steps[at + 1]?.node === node ? 0 : countMacs({ ...graph, nodes: [node] });
}

function bytesOf({ kept }: Plan, { node, dispatch }: Step): number {
  const summed = Object.entries(node.op.inPlace ?? {}).filter(([, input]) => node.inputs[input]);
  const twice = new Set(summed.map(([output]) => node.outputs[output]));
  return Object.values(dispatch.bind).reduce((sum, value) => {
    const bytes = value ? keptBytes(value.bytes, kept.get(value.id)) : 0;
    return sum + (value && twice.has(value) ? 2 * bytes : bytes);
  }, 0);
}

const COPY = 4 | 8; // GPUBufferUsage.COPY_SRC | COPY_DST; the global is not there before WebGPU is

function submit({ gpu: { device }, check }: Profiled, record: (encoder: GPUCommandEncoder) => void): void {
  check();
  const encoder = device.createCommandEncoder();
  record(encoder);
  device.queue.submit([encoder.finish()]);
}

/** Time from before `record` until the GPU is done with it, ms. */
async function timed(
  profiled: Profiled,
  now: () => number,
  record: (encoder: GPUCommandEncoder) => void,
): Promise<number> {
  const { device, lost } = profiled.gpu;
  const start = now();
  submit(profiled, record);
  await unlessLost(lost, device.queue.onSubmittedWorkDone());
  return now() - start;
}

/** A run that times its steps, ms each. */
interface Stopwatch {
  readonly clock: Profile["clock"];
  run(): Promise<Float64Array>;
  close(): void;
}

async function openStopwatch(
  profiled: Profiled,
  clock: ProfileOptions["clock"],
  now: () => number,
): Promise<Stopwatch> {
  if (clock === "timestamps" && !profiled.gpu.caps.timestamps)
    fail("unsupported", `${profiled.gpu.adapter} has no timestamps; leave the clock to the profiler`);
  if (clock === "submits" || !profiled.gpu.caps.timestamps) return bySubmits(profiled, now);
  const watch = byTimestamps(profiled);
  let moves = false;
  try {
    // Some drivers have the feature and a clock that stands still.
    moves = (await watch.run()).some((ms) => ms > 0) || clock === "timestamps";
  } finally {
    if (!moves) watch.close();
  }
  return moves ? watch : bySubmits(profiled, now);
}

/** A pass a step, with a timestamp at its beginning and at its end; one submit. */
function byTimestamps(profiled: Profiled): Stopwatch {
  const { gpu, steps } = profiled;
  const { device } = gpu;
  const counts = Array.from({ length: Math.ceil(steps.length / STEPS_PER_SET) }, (_, i) =>
    Math.min(STEPS_PER_SET, steps.length - i * STEPS_PER_SET),
  );
  const sets = counts.map((count) => device.createQuerySet({ type: "timestamp", count: 2 * count }));
  const bytes = Math.max(1, steps.length) * 16;
  const resolved = device.createBuffer({ size: bytes, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const staging = stagingBuffer(device, bytes);
  return {
    clock: "timestamps",
    async run() {
      submit(profiled, (encoder) => {
        profiled.fill(encoder);
        for (const [i, step] of steps.entries()) {
          const at = 2 * (i % STEPS_PER_SET);
          const timestampWrites = {
            querySet: sets[Math.floor(i / STEPS_PER_SET)]!,
            beginningOfPassWriteIndex: at,
            endOfPassWriteIndex: at + 1,
          };
          recordSteps(encoder, [step], [], undefined, { timestampWrites });
        }
        for (const [i, set] of sets.entries())
          encoder.resolveQuerySet(set, 0, set.count, resolved, i * STEPS_PER_SET * 16);
        encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
      });
      await mapped(gpu, staging, bytes, profiled.check);
      const times = new BigUint64Array(staging.getMappedRange().slice(0));
      staging.unmap();
      return Float64Array.from(steps, (_, i) => Math.max(0, Number(times[2 * i + 1]! - times[2 * i]!) / 1e6));
    },
    close() {
      for (const set of sets) set.destroy();
      resolved.destroy();
      staging.destroy();
    },
  };
}

/** A submit a step, each waited for. */
function bySubmits(profiled: Profiled, now: () => number): Stopwatch {
  const overheads: number[] = [];
  return {
    clock: "submits",
    async run() {
      await timed(profiled, now, profiled.fill);
      for (let i = 0; i < 5; i++) overheads.push(await timed(profiled, now, () => {}));
      const overhead = median(overheads);
      const times = new Float64Array(profiled.steps.length);
      for (const [i, step] of profiled.steps.entries()) {
        const wall = await timed(profiled, now, (encoder) => recordSteps(encoder, [step]));
        times[i] = Math.max(0, wall - overhead);
      }
      return times;
    },
    close() {},
  };
}
