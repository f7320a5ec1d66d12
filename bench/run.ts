// The bench itself, wherever there is WebGPU: a page, Node, Deno. Ceilings first, then kernels in turns, then models one by one.
import { bestOf, type Ceilings, measureCeilings } from "../src/ceilings.ts";
import { fail, KinemaError } from "../src/core/fail.ts";
import { typeOf } from "../src/core/kept.ts";
import { plan } from "../src/core/plan.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { untimed } from "../src/gpu/profile.ts";
import { MODEL_NAMES } from "../src/models/index.ts";
import { type DType, withPrecision } from "../src/precision.ts";
import { reportOf } from "../src/profile.ts";
import { createSession, type Session } from "../src/session.ts";
import { asKept, halfAllowed, halfRoundings, keeps } from "../test/cases/kept.ts";
import { bodiesOf } from "./bodies.ts";
import { type Answer, BODY_CASES, KERNEL_CASES, type KernelCase, type Layer } from "./cases.ts";
import { isTransformer, takesBatch, timeModel } from "./models.ts";
import type { KernelTiming, ModelTiming, Report, Result } from "./report.ts";
import { median } from "./rival/compare.ts";
import { runsARound, timeRuns } from "./rounds.ts";
import { tunedFor } from "./tuned.ts";

export interface BenchOptions {
  /** Names of cases, or how they begin. Default: all; with `quick` all but the transformers. */
  readonly cases?: readonly string[];
  /** Few rounds, and convolutional networks on 2 frames of 64 x 64: a look, not a measurement. */
  readonly quick?: boolean;
  /** Measure first which body suits each class of products best, and take that. */
  readonly tuned?: boolean;
  /** How matrix weights are kept and multiplied. Default f32. */
  readonly dtype?: DType;
  /** Products in every body that the adapter can run, with f32 weights and with those of `dtype`, in the same rounds. */
  readonly bodies?: boolean;
  /** Clips, or images, in a run of a model. Default 1. */
  readonly batch?: number;
  /** What the caller knows of the surroundings. */
  readonly commit: string;
  readonly browser: string;
}

export type BenchProgress = (line: string) => void;

/** Names of all cases, in the order in which they run. */
export const CASE_NAMES: readonly string[] = [...KERNEL_CASES.map(({ name }) => name), ...MODEL_NAMES];

const ROUNDS = { quick: 3, full: 15 };
/** Elements of a large output that are held against f64. */
const SAMPLES = 64;

/** What is run when no case is named. */
function usualCases({ quick = false, bodies = false, batch = 1 }: Choice): readonly string[] {
  if (bodies) return BODY_CASES;
  const cases = batch > 1 ? MODEL_NAMES.filter(takesBatch) : CASE_NAMES;
  return cases.filter((name) => !(quick && isTransformer(name)));
}

type Choice = Pick<BenchOptions, "quick" | "bodies" | "batch">;

/** @throws "usage" for a name that no case begins with, and for a model that takes no batch where one is asked for */
export function chooseCases(wanted: readonly string[], choice: Choice = {}): string[] {
  if (wanted.length === 0) return [...usualCases(choice)];
  for (const name of wanted)
    if (!CASE_NAMES.some((known) => known.startsWith(name)))
      fail("usage", `no case is called ${name}; there are ${CASE_NAMES.join(", ")}`);
  // A whole name means that case alone: "mobilenetv2" is no family.
  const chosen = CASE_NAMES.filter((known) =>
    wanted.some((name) => known === name || (!CASE_NAMES.includes(name) && known.startsWith(name))),
  );
  const alone = MODEL_NAMES.find((name) => chosen.includes(name) && !takesBatch(name));
  if (alone && (choice.batch ?? 1) > 1)
    fail("usage", `${alone} takes one clip a run; --batch is for ${MODEL_NAMES.filter(takesBatch).join(", ")}`);
  return chosen;
}

export async function runBench(gpu: Gpu, options: BenchOptions, progress: BenchProgress = () => {}): Promise<Report> {
  const { cases = [], quick = false, tuned = false, bodies = false, batch = 1 } = options;
  const names = chooseCases(cases, options);
  const on = await withPrecision(gpu, options.dtype);
  progress("ceilings");
  let ceilings = await measureCeilings(gpu);
  /** Before the kernels and behind them: on a busy machine the better one is nearer to what the adapter can do. */
  const again = async () => {
    ceilings = bestOf(ceilings, await measureCeilings(gpu));
    return ceilings;
  };
  const able = (large = false) => !large || gpu.caps.kind === "gpu";
  const kernels = KERNEL_CASES.filter(
    ({ name, large }) => names.includes(name) && (able(large) || cases.includes(name)),
  );
  const rounds = quick ? ROUNDS.quick : ROUNDS.full;
  const timed = await timeKernels(on, kernels, again, { rounds, tuned, bodies }, progress);
  const models: Result<ModelTiming>[] = [];
  for (const model of MODEL_NAMES.filter((name) => names.includes(name))) {
    progress(model);
    models.push(await timeModel(on, model, { quick, tuned, batch, rounds }));
  }
  return { ...startReport(on, options, ceilings), kernels: timed, models };
}

/** A report of this adapter, without cases. */
export function startReport(gpu: Gpu, options: BenchOptions, ceilings: Ceilings): Report {
  const info = gpu.device.adapterInfo as GPUAdapterInfo | undefined;
  return {
    format: "kinema-bench-1",
    date: new Date().toISOString(),
    commit: options.commit,
    adapter: gpu.adapter,
    driver: info?.description || "not told",
    browser: options.browser,
    quick: options.quick ?? false,
    tuned: options.tuned ?? false,
    weights: gpu.caps.weights ?? "f32",
    batch: options.batch ?? 1,
    ceilings,
    kernels: [],
    models: [],
    rivals: [],
  };
}

/** A case that gave the right answers and may be timed. */
interface Ready {
  readonly layer: Layer;
  readonly session: Session;
  readonly runsARound: number;
  readonly ms: number[];
}

interface KernelOptions {
  readonly rounds: number;
  readonly tuned?: boolean;
  readonly bodies?: boolean;
}

/** The adapter for a case as it is timed, and for its twin. */
interface Way {
  readonly about: string;
  readonly own: Gpu;
  readonly twin: Gpu;
}

/** How a case is timed: as it would be chosen, or once in every body. */
async function waysOf(gpu: Gpu, kernel: KernelCase, own: Layer, twin: Layer, options: KernelOptions): Promise<Way[]> {
  const { about, within } = kernel;
  const held = heldIn(gpu, twin);
  const sized = within ? { ...held, caps: { ...held.caps, macs: within } } : held;
  const bodies = options.bodies ? bodiesOf(sized, own.graph) : [];
  if (bodies.length > 0)
    return bodies.map((body) => ({
      ...{ about: `${about}, ${body.about}`, own: body.on(own.graph), twin: body.on(twin.graph) },
    }));
  const { tuned = false } = options;
  const way = { own: await tunedFor(sized, own.graph, tuned), twin: await tunedFor(held, twin.graph, tuned) };
  return [{ about: held === gpu ? about : `${about}, f32`, ...way }];
}

/** The adapter; with f32 weights where no reference can tell what bytes make of a layer's: of those that are sums of a checkpoint's. */
function heldIn(gpu: Gpu, twin: Layer): Gpu {
  const { caps } = gpu;
  const untold = typeOf(caps.weights) === "int8" && plan(twin.graph, caps).kept.size > 0 && !keeps(twin, caps, "int8");
  return untold ? { ...gpu, caps: { ...caps, weights: "f32" } } : gpu;
}

/**
 * Kernels side by side: every one is checked, on its twin and on its own output, then each runs once a round, the order turning by
 * one, so that a drift of the machine falls on all. A kernel that is wrong is refused. `measure` gives the ceilings, behind the last round.
 */
export async function timeKernels(
  gpu: Gpu,
  cases: readonly KernelCase[],
  measure: () => Promise<Ceilings>,
  options: KernelOptions,
  progress: BenchProgress = () => {},
): Promise<Result<KernelTiming>[]> {
  const prepared: { name: string; about: string; refused: string | null; ready: Ready | null }[] = [];
  try {
    for (const kernel of cases) {
      const { name } = kernel;
      const [layer, small] = [kernel.timed(), kernel.twin()];
      for (const { about, own, twin } of await waysOf(gpu, kernel, layer, small, options)) {
        progress(options.bodies ? `${name}: check ${about}` : `${name}: check`);
        const first = await checked(twin, small);
        first.session?.dispose();
        const { session, wrong } = first.wrong ? { wrong: `small: ${first.wrong}` } : await checked(own, layer);
        if (wrong) session?.dispose();
        const ready = wrong || !session ? null : { layer, session, runsARound: await runsARound(session), ms: [] };
        prepared.push({ name, about, refused: wrong, ready });
      }
    }
    const able = prepared.flatMap(({ ready }) => ready ?? []);
    for (let round = 0; round < options.rounds && able.length > 0; round++) {
      progress(`kernels: round ${round + 1} of ${options.rounds}`);
      for (let i = 0; i < able.length; i++) {
        const { session, runsARound, ms } = able[(i + round) % able.length]!;
        ms.push((await timeRuns(session, runsARound)) / runsARound);
      }
    }
    const ceilings = await measure();
    return prepared.map(({ ready, ...rest }) => ({ ...rest, timing: ready && timingOf(ready, ceilings) }));
  } finally {
    for (const { ready } of prepared) ready?.session.dispose();
  }
}

interface Checked {
  readonly session?: Session;
  /** A line about what is wrong. */
  readonly wrong: string | null;
}

/** A session of a layer, and what it computes wrong, out of memory full of NaN; no session where this adapter cannot have one. */
async function checked(gpu: Gpu, layer: Layer): Promise<Checked> {
  let session: Session;
  try {
    session = await createSession(gpu, layer.graph, layer.weights);
  } catch (error) {
    const refusals = ["unsupported", "limit-exceeded", "out-of-memory"];
    if (error instanceof KinemaError && refusals.includes(error.code)) return { wrong: error.message };
    throw error;
  }
  for (const value of layer.graph.values.filter(({ kind }) => kind === "temp" || kind === "input")) {
    const { buffer, offset, size } = session.range(value.name);
    gpu.device.queue.writeBuffer(buffer, offset, new Float32Array(size / 4).fill(Number.NaN));
  }
  const result = Object.values(await session.run(layer.feeds))[0]!;
  return { session, wrong: firstWrong(result, referenceOf(session, layer, result.length)) };
}

/** What each element must be with the weights as this session keeps them, and by how much it may differ in its arithmetic. */
function referenceOf(session: Session, layer: Layer, length: number): Layer["at"] {
  const weights = asKept(session.plan, layer.weights);
  const roundings = Math.max(...session.plan.steps.map(({ dispatch }) => halfRoundings(dispatch)));
  const terms = layer.flops / 2 / length;
  return (index) => {
    const { want, allowed } = layer.at(index, weights);
    return { want, allowed: roundings > 0 ? halfAllowed(allowed, terms, roundings) : allowed };
  };
}

/** All of a small output, evenly spread samples and both ends of a large one. */
function firstWrong(y: Float32Array, at: (index: number) => Answer): string | null {
  const all = y.length <= 4096;
  const count = all ? y.length : SAMPLES;
  for (let i = 0; i < count; i++) {
    const index = all ? i : Math.round((i * (y.length - 1)) / (count - 1));
    const { want, allowed } = at(index);
    if (!(Math.abs(y[index]! - want) <= allowed))
      return `element ${index} is ${y[index]}, f64 says ${want}, allowed is ${allowed.toExponential(1)}`;
  }
  return null;
}

function timingOf({ layer, session, runsARound, ms }: Ready, ceilings: Ceilings): KernelTiming {
  const middle = median(ms);
  const leastMs = Math.min(...ms);
  const { plan } = session;
  // Of a layer of several steps only the sum is known, and only the sum is read.
  const each = { ms: middle / plan.steps.length, leastMs: leastMs / plan.steps.length, repeats: runsARound };
  const steps = plan.steps.map((_, i) => ({ ...untimed(plan, i), ...each }));
  const whole = { plain: middle, profiled: middle };
  const profile = { clock: "submits", grainMs: 0, runs: ms.length, ms: whole, steps } as const;
  const { bound, reached, loadAware } = reportOf(session, profile, ceilings).total;
  return {
    ms: middle,
    leastMs,
    rounds: ms.length,
    runsARound,
    gflops: layer.flops / middle / 1e6,
    bound,
    reached,
    loadAware,
  };
}
