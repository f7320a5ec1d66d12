// What an adapter can do at most, measured: three kernels that do one thing each, timed as every other kernel is.
import { GraphBuilder } from "./core/graph.ts";
import type { Dispatch } from "./core/kernel.ts";
import { tensor } from "./core/tensor.ts";
import type { Gpu } from "./gpu/device.ts";
import type { StepProfile } from "./gpu/profile.ts";
import { ceilingCopy, ceilingFma, ceilingLoad } from "./ops/index.ts";
import { createSession } from "./session.ts";

/** What an adapter does at most, in a second. */
export interface Ceilings {
  /** f32 operations (a multiply-accumulate is two) with operands in registers. */
  readonly flops: number;
  /** Bytes read and written, from and to memory. */
  readonly bytes: number;
  /** Loads of 16 bytes that the nearest cache answers. */
  readonly loads: number;
}

/** Chains of multiply-adds that are tried: how many hide the time that one takes, and where registers run out, is the adapter's. */
const CHAINS = [1, 2, 4, 8];
/** Threads, MiB that are copied, and ms that a kernel shall take, by the kind of adapter. */
const SIZES = {
  cpu: { threads: 2 ** 12, copied: 8, ms: 5 },
  gpu: { threads: 2 ** 18, copied: 128, ms: 2 },
};
const PILOT_ROUNDS = 8;
const MOST_ROUNDS = 2 ** 16;
const RUNS = 3;
/** Blocks of 64 bytes in the table that loads read: 4 KiB. */
const TABLE = 64;

/** Measures the ceilings of `gpu`: some tens of ms on a GPU, some hundreds on a processor, and the compilation of six pipelines. */
export async function measureCeilings(gpu: Gpu, signal?: AbortSignal): Promise<Ceilings> {
  const pilot = await timed(gpu, () => PILOT_ROUNDS, 1, signal);
  const wanted = SIZES[gpu.caps.kind].ms;
  // A clock too coarse for the pilot says 0 ms, which asks for as many rounds as there may be.
  const rounds = (name: string) => {
    const { leastMs } = pilot.get(name)!;
    const needed = leastMs > 0 ? Math.round((PILOT_ROUNDS * wanted) / leastMs) : MOST_ROUNDS;
    return Math.min(MOST_ROUNDS, Math.max(PILOT_ROUNDS, needed));
  };
  const steps = await timed(gpu, rounds, RUNS, signal);
  const perSecond = (name: string, amount: (step: StepProfile) => number) => {
    const step = steps.get(name)!;
    return step.leastMs > 0 ? (amount(step) * 1000) / step.leastMs : Number.POSITIVE_INFINITY;
  };
  const { threads } = SIZES[gpu.caps.kind];
  return {
    flops: Math.max(...CHAINS.map((chains) => perSecond(`fma.${chains}`, ({ macs }) => 2 * macs))),
    bytes: perSecond("copy", ({ bytes }) => bytes),
    loads: perSecond("load", () => threads * rounds("load") * 16),
  };
}

/** Times the three kernels, in as many rounds as `rounds` says of each; steps by node name. */
async function timed(
  gpu: Gpu,
  rounds: (name: string) => number,
  runs: number,
  signal?: AbortSignal,
): Promise<Map<string, StepProfile>> {
  const { threads, copied } = SIZES[gpu.caps.kind];
  const g = new GraphBuilder("ceilings");
  const start = g.input("start", tensor(threads, 4));
  for (const chains of CHAINS) {
    const name = `fma.${chains}`;
    // Shrinking by 0.9 keeps every sum finite, and is no number that a compiler knows.
    g.apply(ceilingFma, name, { x: start }, { chains, rounds: rounds(name), factor: 0.9 });
  }
  const table = g.input("table", tensor(TABLE, 16));
  g.apply(ceilingLoad, "load", { x: table }, { threads, rounds: rounds("load") });
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
  const most = Math.min(copied * 2 ** 20, maxStorageBufferBindingSize, maxBufferSize / 4);
  const source = g.input("source", tensor(Math.floor(most / 16), 4));
  g.apply(ceilingCopy, "copy", { x: source }, {});
  using session = await createSession(gpu, g.build(), new Map());
  const ones = (length: number) => new Float32Array(length).fill(1);
  const feeds = { start: ones(4 * threads), table: ones(16 * TABLE), source: () => {} };
  const { steps } = await session.profile(feeds, { runs, ...(signal ? { signal } : {}) });
  return new Map(steps.map((step) => [step.node, step]));
}

/** A const of the dispatched variant, or one of its params; 0 where there is none. */
const number = ({ kernel, consts, params }: Dispatch, name: string): number =>
  Number(consts[name] ?? kernel.consts[name] ?? params[name] ?? 0);

/**
 * Loads of 16 bytes that a dispatch issues, as its kernel file says; of a kernel that is not listed, each bound element once. A
 * kernel that keeps a tile of results in registers loads its operands once a tile, whatever the caches hold.
 */
export function countLoads(d: Dispatch, bytes: number): number {
  const of = (name: string) => number(d, name);
  const tiles = (count: string, size: string) => Math.ceil(of(count) / of(size));
  if (d.kernel.name === "matmul") {
    const block = Object.values(d.retype ?? {}).some((type) => type.endsWith("h>")) ? 2 : 4; // a 4x4 block of f16 or f32
    return tiles("rows", "ROWS") * tiles("out4", "COLS") * of("blocks") * (of("ROWS") + block * of("COLS"));
  }
  if (d.kernel.name === "depthwise") {
    const span = (size: string) => (of(size) - 1) * of("STRIDE") + 3;
    const threads = of("frames") * of("channels4") * tiles("out_height", "HEIGHT") * tiles("out_width", "WIDTH");
    return threads * (span("HEIGHT") * span("WIDTH") + 10);
  }
  if (d.kernel.name === "attention") {
    const threads = of("sequences") * of("heads") * tiles("queries", "ROWS");
    // A chunk of keys and as many values, the queries once more for each chunk, and the sums, which are kept in y.
    const chunk = 4 * of("KEYS4");
    return threads * Math.ceil(of("keys") / chunk) * of("head4") * 2 * (of("ROWS") + chunk);
  }
  return bytes / 16;
}
