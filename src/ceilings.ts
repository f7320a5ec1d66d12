// What an adapter can do at most, measured: three kernels that do one thing each, timed as every other kernel is.
import { fail } from "./core/fail.ts";
import { GraphBuilder } from "./core/graph.ts";
import { type HalfForm, typeOf } from "./core/kept.ts";
import type { Dispatch } from "./core/kernel.ts";
import { roundUp, tensor } from "./core/tensor.ts";
import type { Gpu } from "./gpu/device.ts";
import type { StepProfile } from "./gpu/profile.ts";
import { ceilingCopy, ceilingFma, ceilingLoad } from "./ops/index.ts";
import { createSession, type Feed } from "./session.ts";

/** What an adapter does at most, in a second. */
export interface Ceilings {
  /** f32 operations (a multiply-accumulate is two) with operands in registers. */
  readonly flops: number;
  /** Bytes read and written, from and to memory. */
  readonly bytes: number;
  /** Loads of 16 bytes that the nearest cache answers. */
  readonly loads: number;
  /** f16 operations with operands in registers, where the adapter has f16. */
  readonly halfFlops?: number;
}

/** Of two measurements the better one, ceiling by ceiling: on a busy machine it is nearer to what the adapter can do. */
export function bestOf(a: Ceilings, b: Ceilings): Ceilings {
  const best = (key: keyof Ceilings) => Math.max(a[key] ?? 0, b[key] ?? 0);
  const halfFlops = best("halfFlops");
  return {
    ...{ flops: best("flops"), bytes: best("bytes"), loads: best("loads") },
    ...(halfFlops > 0 ? { halfFlops } : {}),
  };
}

/** Chains of multiply-adds that are tried: how many hide the time that one takes, and where registers run out, is the adapter's. */
const CHAINS = [1, 2, 4, 8];
/** Threads, MiB that are copied, and ms that a kernel shall take, by the kind of adapter. */
const SIZES = {
  cpu: { threads: 2 ** 12, copied: 8, ms: 5 },
  gpu: { threads: 2 ** 18, copied: 128, ms: 2 },
};
/** What shrinks sums in multiply-adds: it keeps them finite, and is no number that a compiler knows. */
const FACTOR = 0.9;
const PILOT_ROUNDS = 8;
const MOST_ROUNDS = 2 ** 16;
const RUNS = 3;
/** Blocks of 64 bytes in the table that loads read: 4 KiB. */
const TABLE = 64;

/** Measures the ceilings of `gpu`: some tens of ms on a GPU, some hundreds on a processor, and the compilation of six pipelines, or of ten with f16. */
export async function measureCeilings(gpu: Gpu, signal?: AbortSignal): Promise<Ceilings> {
  const { threads, copied, ms } = SIZES[gpu.caps.kind];
  const types = gpu.caps.f16 ? (["f32", "f16"] as const) : (["f32"] as const);
  const build = (g: GraphBuilder, rounds: (name: string) => number) => {
    const start = g.input("start", tensor(threads, 4));
    for (const type of types)
      for (const chains of CHAINS) {
        const name = `${type}.${chains}`;
        const half = type === "f16";
        g.apply(ceilingFma, name, { x: start }, { chains, rounds: rounds(name), factor: FACTOR, half });
      }
    const table = g.input("table", tensor(TABLE, 16));
    g.apply(ceilingLoad, "load", { x: table }, { threads, rounds: rounds("load") });
    const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
    const most = Math.min(copied * 2 ** 20, maxStorageBufferBindingSize, maxBufferSize / 4);
    const source = g.input("source", tensor(Math.floor(most / 16), 4));
    g.apply(ceilingCopy, "copy", { x: source }, {});
    return { start: ones(4 * threads), table: ones(16 * TABLE), source: () => {} };
  };
  const timed = await timeRounds(gpu, build, ms, RUNS, signal);
  const perSecond = (name: string, amount: (timing: Timing) => number) => {
    const timing = timed.get(name)!;
    return (amount(timing) * 1000) / timing.leastMs;
  };
  const flops = (type: "f32" | "f16") =>
    Math.max(...CHAINS.map((chains) => perSecond(`${type}.${chains}`, ({ macs }) => 2 * macs)));
  return {
    flops: flops("f32"),
    bytes: perSecond("copy", ({ bytes }) => bytes),
    loads: perSecond("load", ({ rounds }) => threads * rounds * 16),
    ...(gpu.caps.f16 ? { halfFlops: flops("f16") } : {}),
  };
}

const ones = (length: number) => new Float32Array(length).fill(1);

/** A step, and how many rounds it went through. */
interface Timing extends StepProfile {
  readonly rounds: number;
}

/**
 * Times a graph's steps by node name, each in about `ms`: a pilot of few rounds says how many rounds that is.
 * @param build makes the graph for a number of rounds by node, and gives its inputs
 */
async function timeRounds(
  gpu: Gpu,
  build: (g: GraphBuilder, rounds: (name: string) => number) => Readonly<Record<string, Feed>>,
  ms: number,
  runs: number,
  signal?: AbortSignal,
): Promise<Map<string, Timing>> {
  const time = async (rounds: (name: string) => number, count: number) => {
    const g = new GraphBuilder("ceilings");
    const feeds = build(g, rounds);
    using session = await createSession(gpu, g.build(), new Map());
    const { steps } = await session.profile(feeds, { runs: count, ...(signal ? { signal } : {}) });
    // The profiler repeats what is too short for its clock; where that does not help, none of it can be measured.
    if (steps.some(({ leastMs }) => leastMs === 0))
      fail("unsupported", `no clock moves while ${gpu.adapter} works: nothing can be timed; use another adapter`);
    return new Map(steps.map((step) => [step.node, { ...step, rounds: rounds(step.node) }]));
  };
  const pilot = await time(() => PILOT_ROUNDS, 1);
  const rounds = (name: string) => {
    const needed = Math.round((PILOT_ROUNDS * ms) / pilot.get(name)!.leastMs);
    return Math.min(MOST_ROUNDS, Math.max(PILOT_ROUNDS, needed));
  };
  return time(rounds, runs);
}

/** ns for a 4x4 block of weights to be loaded, and for one to be multiplied by a four of channels, with all of an adapter at work. */
export interface BlockTimes {
  readonly load: number;
  readonly multiply: number;
}

/** Measures the forms of weights that `gpu` has; f16 arithmetic loads native f16. About 20 ms, and the compilation of five small pipelines. */
export async function measureForms(gpu: Gpu): Promise<Readonly<Partial<Record<Form, BlockTimes>>>> {
  const { threads, ms } = SIZES[gpu.caps.kind];
  const { f16 } = gpu.caps;
  const chains = 4;
  const loads = ["f32", "unpacked", ...(f16 ? (["native"] as const) : [])] as const;
  const build = (g: GraphBuilder, rounds: (name: string) => number) => {
    const start = g.input("start", tensor(threads, 4));
    for (const type of f16 ? ["f32", "f16"] : ["f32"]) {
      const name = `multiply.${type}`;
      const attrs = { chains, rounds: rounds(name), factor: FACTOR, half: type === "f16" };
      g.apply(ceilingFma, name, { x: start }, attrs);
    }
    const table = g.input("table", tensor(TABLE, 16));
    for (const form of loads) {
      const half = form === "f32" ? {} : { half: form };
      g.apply(ceilingLoad, `load.${form}`, { x: table }, { threads, rounds: rounds(`load.${form}`), ...half });
    }
    return { start: ones(4 * threads), table: ones(16 * TABLE) };
  };
  const timed = await timeRounds(gpu, build, ms / 2, RUNS);
  const perBlock = (name: string, blocks: (rounds: number) => number) => {
    const { leastMs, rounds } = timed.get(name)!;
    return (leastMs * 1e6) / (threads * blocks(rounds));
  };
  const load = (form: (typeof loads)[number]) => perBlock(`load.${form}`, (rounds) => 4 * rounds);
  // A round is four multiply-adds of four lanes in each chain: as much as a block takes.
  const multiply = (type: "f32" | "f16") => perBlock(`multiply.${type}`, (rounds) => chains * rounds);
  const inF32 = multiply("f32");
  return {
    f32: { load: load("f32"), multiply: inF32 },
    unpacked: { load: load("unpacked"), multiply: inF32 },
    ...(f16
      ? {
          native: { load: load("native"), multiply: inF32 },
          arithmetic: { load: load("native"), multiply: multiply("f16") },
        }
      : {}),
  };
}

/** How weights are kept and multiplied. */
export type Form = "f32" | HalfForm;

/** A const of the dispatched variant, or one of its params; 0 where there is none. */
const number = ({ kernel, consts, params }: Dispatch, name: string): number =>
  Number(consts[name] ?? kernel.consts[name] ?? params[name] ?? 0);

/**
 * Operations a second that a dispatch can reach at most, in the arithmetic that it multiplies in; null where that was not measured: of
 * subgroup matrices, and of f16 in a report that has no such ceiling.
 */
export function flopsFor({ kernel, kept }: Dispatch, { flops, halfFlops }: Ceilings): number | null {
  if (kernel.name === "matmulSubgroupMatrix") return null;
  return kept?.w?.form === "arithmetic" ? (halfFlops ?? null) : flops;
}

/** Loads of 16 bytes for a 4x4 block of weights. */
const BLOCK_LOADS = { f32: 4, f16: 2, int8: 1 } as const;

/**
 * Loads of 16 bytes that a dispatch issues to memory, as its kernel file says; of a kernel that is not listed, each bound element once. A
 * kernel that keeps a tile of results in registers loads its operands once a tile, whatever the caches hold. Loads from workgroup memory
 * do not count: their ceiling is another, and was not measured.
 */
export function countLoads(d: Dispatch, bytes: number): number {
  const of = (name: string) => number(d, name);
  const tiles = (count: string, size: string) => Math.ceil(of(count) / of(size));
  const block = BLOCK_LOADS[typeOf(d.kept?.w?.form)];
  if (d.kernel.name === "matmul") {
    const quad = d.consts.QUAD === true;
    const down = quad ? roundUp(tiles("rows", "ROWS"), 4) : tiles("rows", "ROWS");
    const threads = of("phases") * down * tiles("out4", "COLS");
    // A column for the four of a quad, else a 4x4 block.
    return threads * of("blocks") * (of("ROWS") + (quad ? 1 : block) * of("COLS"));
  }
  if (d.kernel.name === "matmulTile" || d.kernel.name === "matmulSubgroupMatrix") {
    // A workgroup fetches the slabs of its tile once.
    const matrix = d.kernel.name === "matmulSubgroupMatrix";
    const down = of("WG") / (matrix ? of("SUBGROUP") : 1) / of("ACROSS");
    const rows = of("ROWS") * down * (matrix ? of("M") : 1);
    const cols = of("COLS") * of("ACROSS") * (matrix ? of("N") / 4 : 1);
    const groups = Math.ceil(of("rows") / rows) * Math.ceil(of("out4") / cols);
    return of("phases") * groups * of("blocks") * (rows + block * cols);
  }
  if (d.kernel.name === "depthwise") {
    // A strip's input lines, those that it shares with the strip above once more, and its filter and bias.
    const [stride, strips] = [of("STRIDE"), tiles("out_height", "strip")];
    const lines = (of("out_height") + (3 - stride) * strips) * stride;
    const columns = of("frames") * of("channels4") * tiles("out_width", "WIDTH");
    return columns * (lines * ((of("WIDTH") - 1) * stride + 3) + 10 * strips);
  }
  if (d.kernel.name === "attention") {
    const threads = of("sequences") * of("heads") * tiles("queries", "ROWS");
    // A chunk of keys and as many values, the queries once more for each chunk, and the sums, which are kept in y.
    const chunk = 4 * of("KEYS4");
    return threads * Math.ceil(of("keys") / chunk) * of("head4") * 2 * (of("ROWS") + chunk);
  }
  if (d.kernel.name === "attentionTile") {
    // A thread its query, and a workgroup all keys and values, in chunks of which the last is filled up.
    const groups = of("sequences") * of("heads") * tiles("queries", "WG");
    return groups * of("HEAD4") * (of("WG") + 2 * tiles("keys", "KEYS") * of("KEYS"));
  }
  if (d.kernel.name === "vq")
    return tiles("rows", "ROWS") * of("books") * of("codes4") * (1 + of("part4") * (4 + of("ROWS")));
  if (d.kernel.name === "embed") return of("rows") * of("channels4") * of("parts") * 3; // a part, a code and a row of the table
  return bytes / 16;
}
