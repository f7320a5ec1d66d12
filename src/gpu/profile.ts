import { fail } from "../core/fail.ts";
import { countMacs } from "../core/graph.ts";
import { keptBytes } from "../core/kept.ts";
import { variantName } from "../core/kernel.ts";
import type { Plan, Step } from "../core/plan.ts";
import { repeatsFor } from "./grain.ts";
import { recordSteps } from "./record.ts";
import {
  bySubmits,
  byTimestamps,
  type Clock,
  COPY,
  median,
  type Profiled,
  type Stopwatch,
  submit,
  timed,
} from "./stopwatch.ts";

export interface ProfileOptions {
  /** Measured runs, behind one that is not. Default 5. */
  readonly runs?: number;
  /** `submits`: do without timestamps, also where the device has them. */
  readonly clock?: Clock;
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
  /** Dispatches that were timed together, a share of whose time is `ms`: several where one is too short for the clock. */
  readonly repeats: number;
  /** Multiply-accumulates: the node's, at the dispatch that makes its output. */
  readonly macs: number;
  /** Bytes of the bound tensors, each whole and once, a sum in place twice. */
  readonly bytes: number;
}

export interface Profile {
  /**
   * How steps were timed: by the GPU's clock around a pass a step; or by wall time, one submit a step, less what an empty submit
   * takes. A step that is too short for timestamps as they are rounded is repeated within its pass.
   */
  readonly clock: Clock;
  /** What timestamps count in, ms: browsers round them. 0 of submits, whose clock is taken at its word. */
  readonly grainMs: number;
  readonly runs: number;
  /** Medians of whole runs, from submit to done: as `run` does it, one pass and one submit; and step by step, with the repeats. */
  readonly ms: { readonly plain: number; readonly profiled: number };
  readonly steps: readonly StepProfile[];
}

const DEFAULT_RUNS = 5;
const MAX_RUNS = 1000;

/** How many runs are measured. @throws "bad-input" for a number that makes no sense */
export function runsOf({ runs = DEFAULT_RUNS }: ProfileOptions): number {
  if (!Number.isInteger(runs) || runs < 1 || runs > MAX_RUNS)
    fail("bad-input", `a profile is of 1 to ${MAX_RUNS} runs, not ${runs}`);
  return runs;
}

/** Times every step of a session: plain and profiled runs by turns, so that a drift of the machine falls on both. */
export async function profileSteps(profiled: Profiled, options: ProfileOptions): Promise<Profile> {
  const runs = runsOf(options);
  const { gpu, steps, buffers } = profiled;
  const { states } = buffers;
  const { clock, now = () => performance.now() } = options;
  submit(profiled, profiled.fill); // throws for bad feeds before anything is made
  const backup = gpu.device.createBuffer({ label: "kinema/states kept", size: states.size, usage: COPY });
  const copyStates = (from: GPUBuffer, to: GPUBuffer) =>
    submit(profiled, (encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, states.size));
  copyStates(states, backup);
  let watch: Stopwatch | undefined;
  try {
    if (clock !== "submits" && gpu.caps.timestamps) watch = byTimestamps(profiled);
    let repeats = watch && (await repeatsFor(watch, steps.length, options.signal));
    if (!watch || !repeats) {
      // Some drivers have the feature and a clock that stands still.
      const why = watch ? "has timestamps that stand still" : "has no timestamps";
      if (clock === "timestamps") fail("unsupported", `${gpu.adapter} ${why}; leave the clock to the profiler`);
      watch?.close();
      watch = bySubmits(profiled, now);
      repeats = steps.map(() => 1);
    }
    const samples: Sample[] = [];
    for (let run = 0; run <= runs; run++) {
      copyStates(backup, states);
      const plain = await timed(profiled, now, (encoder) => {
        profiled.fill(encoder);
        recordSteps(encoder, steps);
      });
      const start = now();
      const times = await watch.run(repeats);
      samples.push({ plain, profiled: now() - start, times });
      options.signal?.throwIfAborted();
      options.onProgress?.((run + 1) / (runs + 1));
    }
    return summary(profiled.plan, watch, repeats, samples.slice(1));
  } finally {
    watch?.close();
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

/** Times of a plain run, of a profiled one, and of its steps with their repeats, ms. */
interface Sample {
  readonly plain: number;
  readonly profiled: number;
  readonly times: Float64Array;
}

function summary(plan: Plan, watch: Stopwatch, repeats: readonly number[], samples: readonly Sample[]): Profile {
  return {
    clock: watch.clock,
    grainMs: watch.grain(),
    runs: samples.length,
    ms: { plain: median(samples.map((s) => s.plain)), profiled: median(samples.map((s) => s.profiled)) },
    steps: plan.steps.map((_, i) => {
      const times = samples.map((s) => s.times[i]! / repeats[i]!);
      return { ...untimed(plan, i), ms: median(times), leastMs: Math.min(...times), repeats: repeats[i]! };
    }),
  };
}

/** A step's names and its work. */
export function untimed(plan: Plan, at: number): Omit<StepProfile, "ms" | "leastMs" | "repeats"> {
  const step = plan.steps[at]!;
  return {
    node: step.node.name,
    op: step.node.op.name,
    kernel: variantName(step.dispatch.kernel, step.dispatch.consts, step.dispatch.retype),
    macs: macsOf(plan, at),
    bytes: bytesOf(plan, step),
  };
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
