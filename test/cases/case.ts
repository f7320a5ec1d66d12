import { countMacs, type Graph, GraphBuilder } from "../../src/core/graph.ts";
import type { Expected } from "../close.ts";
import { Random } from "./random.ts";

/** Numbers in logical shape by name: the graph's inputs, and its states as they are before the run. */
export type Feeds = Readonly<Record<string, Float32Array<ArrayBuffer>>>;

/** One op at one size: what the tests check is what the bench times. */
export interface OpCase {
  readonly op: string;
  /** What is special about it, and its sizes. */
  readonly title: string;
  readonly graph: Graph;
  readonly weights: ReadonlyMap<string, Float32Array>;
  feeds(seed: number): Feeds;
  /** Outputs, and states after the run, from the feeds: f64, plain loops. `weights`: other numbers of the same shapes. */
  expected(feeds: Feeds, weights?: ReadonlyMap<string, Float32Array>): Readonly<Record<string, Expected>>;
  /** Floating-point operations of a run. */
  readonly flops: number;
  /** Bytes of all tensors, each counted once: what must move at least. */
  readonly bytes: number;
  /** Large, for timing; the bench checks it before it times it, the tests leave it out. */
  readonly bench: boolean;
}

export interface CaseSpec {
  readonly op: string;
  readonly title: string;
  build(g: GraphBuilder): void;
  /** Shapes of the random weights by name. */
  readonly weights?: Readonly<Record<string, readonly number[]>>;
  /** Weights are whole sixteenths: sums of a few of them are numbers that f16 holds, as the weights are. */
  readonly coarse?: boolean;
  feeds(random: Random): Feeds;
  expected(feeds: Feeds, weights: ReadonlyMap<string, Float32Array>): Readonly<Record<string, Expected>>;
  /** For ops that multiply nothing. */
  readonly flops?: number;
  readonly bench?: boolean;
}

export function opCase(spec: CaseSpec): OpCase {
  const g = new GraphBuilder(`${spec.op} ${spec.title}`);
  spec.build(g);
  const graph = g.build();
  const random = new Random(spec.title.length * 7919 + 1);
  const numbers = (shape: readonly number[]) =>
    spec.coarse ? random.normal(...shape).map((v) => Math.round(16 * v) / 16) : random.normal(...shape);
  const weights = new Map(Object.entries(spec.weights ?? {}).map(([name, shape]) => [name, numbers(shape)]));
  return {
    op: spec.op,
    title: spec.title,
    graph,
    weights,
    feeds: (seed) => spec.feeds(new Random(seed)),
    expected: (feeds, other = weights) => spec.expected(feeds, other),
    flops: spec.flops ?? 2 * countMacs(graph),
    bytes: graph.values.reduce((sum, value) => sum + value.bytes, 0),
    bench: spec.bench ?? false,
  };
}
