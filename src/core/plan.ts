import { fail } from "./fail.ts";
import { countMacs, type Graph, type Node, type Value } from "./graph.ts";
import { type Kept, keptBytes } from "./kept.ts";
import { type Dispatch, variantName } from "./kernel.ts";
import type { Caps } from "./op.ts";
import { roundUp, shapeText } from "./tensor.ts";

/** Offsets of storage bindings are multiples of this on every adapter (the WebGPU default limit). */
export const BINDING_ALIGNMENT = 256;

/** One dispatch of the plan and the node it comes from. */
export interface Step {
  readonly node: Node;
  readonly dispatch: Dispatch;
}

/** Where a temp lives: WebGPU forbids read and read_write of one buffer in a dispatch, so what a kernel binds `read` has an arena of its own. */
export interface Place {
  readonly arena: 0 | 1;
  readonly offset: number;
  readonly bytes: number;
}

/** Steps in order and a place for every temp: pure data, printable. */
export interface Plan {
  readonly graph: Graph;
  readonly steps: readonly Step[];
  readonly places: ReadonlyMap<number, Place>;
  /** How weights are kept, by id; those that are not in it as f32. */
  readonly kept: ReadonlyMap<number, Kept>;
  /** Bytes of arena 0 (activations) and arena 1 (activations that a kernel reads as if they were weights). */
  readonly arenas: readonly [number, number];
  readonly bytes: {
    /** Every temp in memory of its own. */
    readonly naive: number;
    /** What the arenas take. */
    readonly planned: number;
    /** Largest sum of bytes alive in one step: no plan can take less. */
    readonly lowerBound: number;
    readonly states: number;
    readonly weights: number;
  };
}

export interface PlanOptions {
  /** false: no two temps share memory; the answers must be the same bit for bit. Default true. */
  readonly reuse?: boolean;
  /** How many runs will follow each other, about: kernels that take longer to compile may pay. Default 1. */
  readonly runs?: number;
}

/** A set of values in one piece of memory (a residual and the sum that replaces it) and the steps it is alive in. */
interface Lease {
  readonly values: Value[];
  readonly bytes: number;
  first: number;
  last: number;
  arena: 0 | 1;
}

/** Lowers every node and gives every temp a place. Pure: the same graph and caps give the same plan. */
export function plan(graph: Graph, caps: Caps, options: PlanOptions = {}): Plan {
  const sized = { macs: countMacs(graph) * (options.runs ?? 1), ...caps };
  const steps = graph.nodes.flatMap((node) =>
    node.op.lower({ ...node.inputs, ...node.outputs }, node.attrs, sized).map((dispatch): Step => ({ node, dispatch })),
  );
  checkInPlace(graph, steps);
  const leases = findLeases(graph, steps);
  const places = new Map<number, Place>();
  const arenas: [number, number] = [0, 0];
  for (const arena of [0, 1] as const) {
    const mine = leases.filter((lease) => lease.arena === arena);
    const { offsets, bytes } = (options.reuse ?? true) ? pack(mine) : stack(mine);
    arenas[arena] = bytes;
    mine.forEach((lease, i) => {
      for (const value of lease.values) places.set(value.id, { arena, offset: offsets[i]!, bytes: value.bytes });
    });
  }
  const temps = graph.values.filter(isTemp);
  const kept = keptWeights(steps);
  const sum = (values: readonly Value[]) => values.reduce((total, value) => total + value.bytes, 0);
  return {
    graph,
    steps,
    places,
    kept,
    arenas,
    bytes: {
      naive: sum(temps),
      planned: arenas[0] + arenas[1],
      lowerBound: lowerBound(leases, steps.length),
      states: sum(graph.values.filter((value) => value.kind === "state")),
      weights: graph.values
        .filter((value) => value.kind === "weight")
        .reduce((total, value) => total + keptBytes(value.bytes, kept.get(value.id)), 0),
    },
  };
}

const isTemp = (value: Value): boolean => value.kind === "temp" || value.kind === "input";

/** What the kernels' dispatches say of their weights. */
function keptWeights(steps: readonly Step[]): Map<number, Kept> {
  const kept = new Map<number, Kept>();
  for (const { dispatch } of steps)
    for (const [name, how] of Object.entries(dispatch.kept ?? {})) kept.set(dispatch.bind[name]!.id, how);
  return kept;
}

function bound(step: Step): Value[] {
  return Object.values(step.dispatch.bind).filter((value): value is Value => value !== null);
}

function findLeases(graph: Graph, steps: readonly Step[]): Lease[] {
  const of = new Map<number, Lease>();
  const leases: Lease[] = [];
  for (const value of graph.values.filter(isTemp)) {
    const source = takenOver(graph, value);
    const lease = source && of.get(source.id);
    if (lease && lease.bytes === value.bytes) {
      lease.values.push(value);
      of.set(value.id, lease);
    } else {
      const fresh: Lease = { values: [value], bytes: value.bytes, first: Number.POSITIVE_INFINITY, last: -1, arena: 0 };
      leases.push(fresh);
      of.set(value.id, fresh);
    }
  }
  const touch = (value: Value, at: number) => {
    const lease = of.get(value.id);
    if (!lease) return;
    lease.first = Math.min(lease.first, at);
    lease.last = Math.max(lease.last, at);
  };
  for (const value of Object.values(graph.inputs)) touch(value, 0);
  steps.forEach((step, at) => {
    for (const [name, value] of Object.entries(step.dispatch.bind)) {
      if (!value) continue;
      touch(value, at);
      const lease = of.get(value.id);
      if (lease && step.dispatch.kernel.bindings[name]?.kind === "read") lease.arena = 1;
    }
  });
  for (const value of Object.values(graph.outputs)) touch(value, steps.length);
  checkArenas(steps, of);
  return leases.filter((lease) => lease.last >= 0);
}

/** The input whose memory `value` takes over, if its node sums in place and was given that input. */
function takenOver(graph: Graph, value: Value): Value | undefined {
  for (const node of graph.nodes) {
    for (const [output, input] of Object.entries(node.op.inPlace ?? {})) {
      if (node.outputs[output] === value) return node.inputs[input];
    }
  }
  return undefined;
}

function checkArenas(steps: readonly Step[], of: ReadonlyMap<number, Lease>): void {
  for (const { node, dispatch } of steps) {
    const kinds = new Map<number, string>();
    const seen = new Map<Lease, Value>();
    for (const [name, value] of Object.entries(dispatch.bind)) {
      const lease = value && of.get(value.id);
      const kind = dispatch.kernel.bindings[name]?.kind;
      if (!lease || !kind) continue;
      const other = seen.get(lease) ?? value;
      if (other !== value)
        fail("graph", `"${node.name}" sums into "${other.name}" while it reads it; give the sum another tensor`);
      seen.set(lease, value);
      const before = kinds.get(lease.arena);
      if (before !== undefined && before !== kind) {
        fail(
          "graph",
          `"${node.name}" would bind one buffer both read and read_write; give ${dispatch.kernel.name} its operand as read_write`,
        );
      }
      kinds.set(lease.arena, kind);
    }
  }
}

/** A value that is summed in place must not be wanted afterwards. */
function checkInPlace(graph: Graph, steps: readonly Step[]): void {
  graph.nodes.forEach((node, at) => {
    for (const input of Object.values(node.op.inPlace ?? {})) {
      const value = node.inputs[input];
      if (!value) continue;
      const later = graph.nodes.slice(at + 1).find((n) => Object.values(n.inputs).includes(value));
      const wanted = Object.values(graph.outputs).includes(value);
      if (later || wanted || !isTemp(value)) {
        fail(
          "graph",
          `"${node.name}" sums into "${value.name}", which ${later ? `"${later.name}" still reads` : "is kept"}; use it before, or copy it first`,
        );
      }
    }
  });
  for (const step of steps) {
    const values = bound(step);
    if (new Set(values).size !== values.length)
      fail("graph", `"${step.node.name}" binds one tensor twice in a dispatch`);
  }
}

function lowerBound(leases: readonly Lease[], steps: number): number {
  let most = 0;
  for (let at = 0; at <= steps; at++) {
    let live = 0;
    for (const lease of leases) if (lease.first <= at && at <= lease.last) live += lease.bytes;
    most = Math.max(most, live);
  }
  return most;
}

interface Packing {
  readonly offsets: number[];
  readonly bytes: number;
}

function stack(leases: readonly Lease[]): Packing {
  let bytes = 0;
  const offsets = leases.map((lease) => {
    const offset = bytes;
    bytes += roundUp(lease.bytes, BINDING_ALIGNMENT);
    return offset;
  });
  return { offsets, bytes };
}

/**
 * Greedy placement at the lowest free offset, in the order that wins: by size, by lifetime x size, by birth.
 * (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, greedy by size.)
 */
function pack(leases: readonly Lease[]): Packing {
  const orders: ((a: Lease, b: Lease) => number)[] = [
    (a, b) => b.bytes - a.bytes || a.first - b.first,
    (a, b) => b.bytes * (b.last - b.first + 1) - a.bytes * (a.last - a.first + 1) || a.first - b.first,
    (a, b) => a.first - b.first || b.bytes - a.bytes,
    (a, b) => b.last - b.first - (a.last - a.first) || b.bytes - a.bytes,
  ];
  let best: Packing | undefined;
  for (const order of orders) {
    const packing = place(leases, order);
    if (!best || packing.bytes < best.bytes) best = packing;
  }
  return best as Packing;
}

function place(leases: readonly Lease[], order: (a: Lease, b: Lease) => number): Packing {
  const offsets = new Array<number>(leases.length).fill(0);
  const placed: number[] = [];
  let bytes = 0;
  const indices = leases.map((_, i) => i).sort((a, b) => order(leases[a]!, leases[b]!));
  for (const i of indices) {
    const lease = leases[i]!;
    const size = roundUp(lease.bytes, BINDING_ALIGNMENT);
    const taken = placed
      .filter((j) => leases[j]!.first <= lease.last && lease.first <= leases[j]!.last)
      .map((j): [number, number] => [offsets[j]!, offsets[j]! + roundUp(leases[j]!.bytes, BINDING_ALIGNMENT)])
      .sort((a, b) => a[0] - b[0]);
    let at = 0;
    for (const [from, to] of taken) {
      if (from - at >= size) break;
      at = Math.max(at, to);
    }
    offsets[i] = at;
    placed.push(i);
    bytes = Math.max(bytes, at + size);
  }
  return { offsets, bytes };
}

const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

/** The plan as text: a line a step, then the bytes. */
export function printPlan(p: Plan): string {
  const lines = p.steps.map((step, i) => {
    const values = Object.entries(step.dispatch.bind)
      .filter((entry): entry is [string, Value] => entry[1] !== null && entry[1].kind !== "weight")
      .map(([name, value]) => {
        const place = p.places.get(value.id);
        return `${name} ${shapeText(value.spec)}${place ? ` @${place.arena ? "B" : ""}${place.offset}` : ` (${value.kind})`}`;
      });
    return `${String(i).padStart(3)}  ${step.node.name}  ${variantName(step.dispatch.kernel, step.dispatch.consts, step.dispatch.retype)}  ${values.join("  ")}`;
  });
  const { naive, planned, lowerBound: least, states, weights } = p.bytes;
  lines.push(
    `activations ${mb(planned)} planned, ${mb(least)} lower bound, ${mb(naive)} naive; states ${mb(states)}, weights ${mb(weights)}`,
  );
  return lines.join("\n");
}
