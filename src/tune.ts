// Which body is fastest for each class of a model's products on this adapter? Measured once, and kept.
import { KinemaError } from "./core/fail.ts";
import { countMacs, type Graph, GraphBuilder, type Node, type Value } from "./core/graph.ts";
import { typeOf, type WeightType } from "./core/kept.ts";
import type { Caps } from "./core/op.ts";
import { plan } from "./core/plan.ts";
import { elements } from "./core/tensor.ts";
import { joinTunings, parseTunings, type Tuning } from "./core/tuning.ts";
import type { Gpu } from "./gpu/device.ts";
import * as kernels from "./kernels.gen.ts";
import { type BodyName, candidates, chooseBody, classOf, type Product, productOf } from "./ops/matmul_body.ts";
import { withPrecision } from "./precision.ts";
import { randomWeights, uniform } from "./profile.ts";
import { createSession, type Feed, type Session } from "./session.ts";

type Feeds = Readonly<Record<string, Feed>>;

export interface TuneOptions {
  /** As the sessions will have them: `runs` decides on the register body's tile. */
  readonly dtype?: WeightType;
  readonly runs?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (fraction: number) => void;
  /** Times a session of one product in ms. Default: the profiler's least of five runs. */
  readonly clock?: (session: Session, feeds: Feeds) => Promise<number>;
}

/** A class of products, and what its largest one took in each body, ms; in those alone that gave the right answer. */
export interface TunedClass {
  readonly class: string;
  readonly node: string;
  readonly best: BodyName;
  /** What is chosen without a tuning. */
  readonly guess: BodyName;
  readonly ms: Readonly<Partial<Record<BodyName, number>>>;
}

/**
 * Times every body that can compute a class of a graph's products, on the largest of the class, with random numbers. A body
 * that does not compile, or whose answer is not the register body's up to rounding, is out.
 * @throws "device-lost", and what `signal` aborts with
 */
export async function tune(
  gpu: Gpu,
  graph: Graph,
  options: TuneOptions = {},
): Promise<{ readonly tuning: Tuning; readonly classes: readonly TunedClass[] }> {
  const { dtype, signal } = options;
  const { tuned: _earlier, ...plain } = (dtype ? await withPrecision(gpu, dtype, signal) : gpu).caps;
  // Of the whole graph, as its sessions count: that of a product alone would choose another tile.
  const macs = plain.macs ?? countMacs(graph) * (options.runs ?? 1);
  const caps: Caps = { ...plain, macs };
  const largest = new Map<string, { readonly node: Node; readonly product: Product }>();
  const work = ({ rows, out4, blocks }: Product) => rows * out4 * blocks;
  for (const { node, dispatch } of plan(graph, caps).steps) {
    const product = productOf(dispatch);
    if (!product) continue;
    const before = largest.get(classOf(product));
    if (!before || work(product) > work(before.product)) largest.set(classOf(product), { node, product });
  }
  const classes: TunedClass[] = [];
  for (const [name, { node, product }] of largest) {
    const ms = await timeBodies({ ...gpu, caps }, name, node, product, options);
    const guess = chooseBody(product, caps);
    const best = (Object.keys(ms) as BodyName[]).reduce((a, b) => (ms[b]! < (ms[a] ?? Infinity) ? b : a), guess);
    classes.push({ class: name, node: node.name, best, guess, ms });
    options.onProgress?.(classes.length / largest.size);
  }
  const bodies = Object.fromEntries(classes.map((tuned) => [tuned.class, tuned.best]));
  return { tuning: { adapter: gpu.identity, kernels: hashOfKernels(), bodies }, classes };
}

/** ms by body, of those that are right. */
async function timeBodies(
  gpu: Gpu,
  name: string,
  node: Node,
  product: Product,
  { signal, clock = leastOfFive }: TuneOptions,
): Promise<Partial<Record<BodyName, number>>> {
  const graph = alone(node);
  const feeds: Record<string, Feed> = {};
  for (const [key, { spec }] of Object.entries(graph.inputs)) feeds[key] = uniform(key, elements(spec), 1);
  const open = (body: BodyName) => {
    const on = { ...gpu, caps: { ...gpu.caps, tuned: { [name]: body } } };
    return createSession(on, graph, randomWeights(graph), signal ? { signal } : {});
  };
  const answer = async (session: Session) => Object.values(await session.run(feeds))[0]!;
  const right = await (async () => {
    using session = await open("registers");
    return await answer(session);
  })();
  const ms: Partial<Record<BodyName, number>> = {};
  for (const body of candidates(product, gpu.caps)) {
    signal?.throwIfAborted();
    try {
      using session = await open(body);
      if (isNear(await answer(session), right, typeOf(product.form))) ms[body] = await clock(session, feeds);
    } catch (error) {
      // A body that this adapter cannot compile, or has no memory for, is no candidate.
      const passed = ["unsupported", "limit-exceeded", "out-of-memory", "graph"];
      if (!(error instanceof KinemaError && passed.includes(error.code))) throw error;
    }
  }
  return ms;
}

/** A node and nothing else: its inputs are the graph's, its weights its own. */
function alone(node: Node): Graph {
  const g = new GraphBuilder(node.name);
  const made = new Map<Value, Value>();
  const make = (value: Value) => {
    if (value.source) return g.weight(value.name, value.source);
    return value.kind === "state" ? g.state(value.name, value.spec) : g.input(value.name, value.spec);
  };
  const inputs = Object.entries(node.inputs).map(([key, value]) => {
    if (!made.has(value)) made.set(value, make(value));
    return [key, made.get(value)!] as const;
  });
  const outputs = g.apply(node.op, node.name, Object.fromEntries(inputs), node.attrs);
  for (const [key, value] of Object.entries(outputs)) g.output(key, value);
  return g.build();
}

async function leastOfFive(session: Session, feeds: Feeds): Promise<number> {
  const { steps } = await session.profile(feeds, { runs: 5 });
  return steps.reduce((sum, { leastMs }) => sum + leastMs, 0);
}

/** Sums of up to some ten thousand products of numbers near 1: bodies differ by roundings of what they multiply in. */
const TOLERANCE = { f32: 1e-4, f16: 2e-2, int8: 1e-4 };

function isNear(got: Float32Array, want: Float32Array, type: WeightType): boolean {
  const largest = want.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  return got.every((v, i) => Math.abs(v - want[i]!) <= TOLERANCE[type] * largest);
}

/** FNV-1a of the family's text: what was measured of other kernels says nothing about these. */
function hashOfKernels(): string {
  const text = [kernels.matmul, kernels.matmulTile, kernels.matmulSubgroupMatrix].map(({ code }) => code).join();
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/** The GPU with the bodies that a tuning names, if it is of this adapter and these kernels; else the GPU as it is. */
export function withTuning(gpu: Gpu, tuning: Tuning | null): Gpu {
  if (tuning?.adapter !== gpu.identity || tuning.kernels !== hashOfKernels()) return gpu;
  return { ...gpu, caps: { ...gpu.caps, tuned: tuning.bodies } };
}

const STORE = "kinema";
const place = (identity: string) => `https://kinema.invalid/tuning/${encodeURIComponent(identity)}`;

/** What a cache holds of an adapter; nothing where that cannot be read. */
async function readKept(cache: Cache, identity: string): Promise<readonly Tuning[]> {
  const response = await cache.match(place(identity));
  try {
    return response ? parseTunings(await response.text()) : [];
  } catch {
    return [];
  }
}

/**
 * Keeps a tuning in a browser's CacheStorage, which `storage` is when absent, joined with what is kept of the same adapter and kernels for
 * other models.
 */
export async function keepTuning(tuning: Tuning, storage: Pick<CacheStorage, "open"> = caches): Promise<void> {
  const cache = await storage.open(STORE);
  const list = joinTunings(await readKept(cache, tuning.adapter), tuning);
  await cache.put(place(tuning.adapter), new Response(JSON.stringify(list)));
}

/** What {@link keepTuning} kept of this adapter and these kernels; null, if there is nothing, or the store is closed to this page. */
export async function keptTuning(gpu: Gpu, storage: Pick<CacheStorage, "open"> = caches): Promise<Tuning | null> {
  try {
    const list = await readKept(await storage.open(STORE), gpu.identity);
    return list.find(({ kernels }) => kernels === hashOfKernels()) ?? null;
  } catch {
    return null; // good without it
  }
}
