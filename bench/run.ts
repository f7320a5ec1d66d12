// The bench itself, wherever there is WebGPU: a page, Node, Deno. Ceilings first, then kernels in turns, then models one by one.
import { type Ceilings, measureCeilings } from "../src/ceilings.ts";
import { fail } from "../src/core/fail.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { untimed } from "../src/gpu/profile.ts";
import { MODEL_NAMES } from "../src/models/index.ts";
import { reportOf } from "../src/profile.ts";
import { createSession, type Session } from "../src/session.ts";
import { type Answer, KERNEL_CASES, type KernelCase, type Layer } from "./cases.ts";
import { isTransformer, timeModel } from "./models.ts";
import type { KernelTiming, ModelTiming, Report, Result } from "./report.ts";
import { median } from "./rival/compare.ts";
import { tunedFor } from "./tuned.ts";

export interface BenchOptions {
  /** Names of cases, or how they begin. Default: all; with `quick` all but the transformers. */
  readonly cases?: readonly string[];
  /** Few rounds, and convolutional networks on 2 frames of 64 x 64: a look, not a measurement. */
  readonly quick?: boolean;
  /** Measure first which body suits each class of products best, and take that. */
  readonly tuned?: boolean;
  /** What the caller knows of the surroundings. */
  readonly commit: string;
  readonly browser: string;
}

export type BenchProgress = (line: string) => void;

/** Names of all cases, in the order in which they run. */
export const CASE_NAMES: readonly string[] = [...KERNEL_CASES.map(({ name }) => name), ...MODEL_NAMES];

const ROUNDS = { quick: 3, full: 15 };
/**
 * What a round of a kernel shall take at least, by the kind of adapter: a GPU's clock and queue need some milliseconds, and a browser
 * looks every few whether a software adapter is done.
 */
const ROUND_MS = { cpu: 40, gpu: 20 };
const MOST_RUNS_A_ROUND = 1000;
/** Elements of a large output that are held against f64. */
const SAMPLES = 64;

/** @throws "usage" for a name that no case begins with */
export function chooseCases(wanted: readonly string[], quick: boolean): string[] {
  if (wanted.length === 0) return CASE_NAMES.filter((name) => !(quick && isTransformer(name)));
  for (const name of wanted)
    if (!CASE_NAMES.some((known) => known.startsWith(name)))
      fail("usage", `no case is called ${name}; there are ${CASE_NAMES.join(", ")}`);
  // A whole name means that case alone: "mobilenetv2" is no family.
  return CASE_NAMES.filter((known) =>
    wanted.some((name) => known === name || (!CASE_NAMES.includes(name) && known.startsWith(name))),
  );
}

export async function runBench(gpu: Gpu, options: BenchOptions, progress: BenchProgress = () => {}): Promise<Report> {
  const { quick = false, tuned = false } = options;
  const names = chooseCases(options.cases ?? [], quick);
  progress("ceilings");
  let ceilings = await measureCeilings(gpu);
  /** Before the kernels and behind them: on a busy machine the better one is nearer to what the adapter can do. */
  const again = async () => {
    const now = await measureCeilings(gpu);
    const best = (key: keyof Ceilings) => Math.max(ceilings[key], now[key]);
    ceilings = { flops: best("flops"), bytes: best("bytes"), loads: best("loads") };
    return ceilings;
  };
  const kernels = KERNEL_CASES.filter(({ name }) => names.includes(name));
  const rounds = quick ? ROUNDS.quick : ROUNDS.full;
  const timed = await timeKernels(gpu, kernels, again, { rounds, tuned }, progress);
  const models: Result<ModelTiming>[] = [];
  for (const model of MODEL_NAMES.filter((name) => names.includes(name))) {
    progress(model);
    models.push(await timeModel(gpu, model, { quick, tuned }));
  }
  return { ...startReport(gpu, options, ceilings), kernels: timed, models };
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

/**
 * Kernels side by side: every one is checked, on its twin and on its own output, then each runs once a round, the order turning by
 * one, so that a drift of the machine falls on all. A kernel that is wrong is refused. `measure` gives the ceilings, behind the last round.
 */
export async function timeKernels(
  gpu: Gpu,
  cases: readonly KernelCase[],
  measure: () => Promise<Ceilings>,
  { rounds, tuned = false }: { readonly rounds: number; readonly tuned?: boolean },
  progress: BenchProgress = () => {},
): Promise<Result<KernelTiming>[]> {
  const prepared: { kernel: KernelCase; refused: string | null; ready: Ready | null }[] = [];
  try {
    for (const kernel of cases) {
      progress(`${kernel.name}: check`);
      const twin = await checked(gpu, kernel.twin(), tuned);
      twin.session.dispose();
      const layer = kernel.timed();
      const { caps } = gpu;
      const own = await checked(kernel.within ? { ...gpu, caps: { ...caps, macs: kernel.within } } : gpu, layer, tuned);
      const refused = (twin.wrong && `small: ${twin.wrong}`) ?? own.wrong;
      if (refused) own.session.dispose();
      const ready = refused
        ? null
        : { layer, session: own.session, runsARound: await runsARound(own.session), ms: [] as number[] };
      prepared.push({ kernel, refused, ready });
    }
    const able = prepared.flatMap(({ ready }) => ready ?? []);
    for (let round = 0; round < rounds && able.length > 0; round++) {
      progress(`kernels: round ${round + 1} of ${rounds}`);
      for (let i = 0; i < able.length; i++) {
        const { session, runsARound, ms } = able[(i + round) % able.length]!;
        ms.push((await timeRuns(session, runsARound)) / runsARound);
      }
    }
    const ceilings = await measure();
    return prepared.map(({ kernel: { name, about }, refused, ready }) => ({
      name,
      about,
      refused,
      timing: ready && timingOf(ready, ceilings),
    }));
  } finally {
    for (const { ready } of prepared) ready?.session.dispose();
  }
}

/** A session of a layer, and a line about what it computes wrong, out of memory full of NaN. */
async function checked(gpu: Gpu, layer: Layer, tuned: boolean): Promise<{ session: Session; wrong: string | null }> {
  const session = await createSession(await tunedFor(gpu, layer.graph, tuned), layer.graph, layer.weights);
  for (const value of layer.graph.values.filter(({ kind }) => kind === "temp" || kind === "input")) {
    const { buffer, offset, size } = session.range(value.name);
    gpu.device.queue.writeBuffer(buffer, offset, new Float32Array(size / 4).fill(Number.NaN));
  }
  const [result] = Object.values(await session.run(layer.feeds));
  return { session, wrong: firstWrong(result!, layer.at) };
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

/** Wall time of so many runs in one submit, until the GPU is done, ms. */
async function timeRuns(session: Session, runs: number): Promise<number> {
  const { device, lost } = session.gpu;
  const start = performance.now();
  const encoder = device.createCommandEncoder();
  for (let run = 0; run < runs; run++) session.encode(encoder);
  device.queue.submit([encoder.finish()]);
  await Promise.race([device.queue.onSubmittedWorkDone(), lost]);
  return performance.now() - start;
}

async function runsARound(session: Session): Promise<number> {
  const wanted = ROUND_MS[session.gpu.caps.kind];
  let runs = 1;
  // Once more with more runs, as a single one may be shorter than the way to the GPU and back.
  for (let pilot = 0; pilot < 3; pilot++) {
    const each = Math.max(await timeRuns(session, runs), 0.01) / runs;
    runs = Math.min(MOST_RUNS_A_ROUND, Math.max(1, Math.ceil(wanted / each)));
  }
  return runs;
}

function timingOf({ layer, session, runsARound, ms }: Ready, ceilings: Ceilings): KernelTiming {
  const middle = median(ms);
  const leastMs = Math.min(...ms);
  const { plan } = session;
  // Of a layer of several steps only the sum is known, and only the sum is read.
  const each = { ms: middle / plan.steps.length, leastMs: leastMs / plan.steps.length };
  const steps = plan.steps.map((_, i) => ({ ...untimed(plan, i), ...each }));
  const profile = { clock: "submits", runs: ms.length, ms: { plain: middle, profiled: middle }, steps } as const;
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
