import { fail } from "./fail.ts";
import type { OpDef } from "./op.ts";
import { product, shapeText, storedBytes, type TensorSpec } from "./tensor.ts";

/** Where a weight's bytes come from: checkpoint tensors by canonical name and shape, and how they are packed for the kernel. */
export interface WeightSource {
  /** Canonical name -> shape wanted in the checkpoint. */
  readonly tensors: Readonly<Record<string, readonly number[]>>;
  /** Names among `tensors` that are statistics, not trained parameters (batch norm's running mean and variance). */
  readonly statistics?: readonly string[];
  /** Stored f32 elements. */
  readonly length: number;
  pack(get: (name: string) => Float32Array): Float32Array<ArrayBuffer>;
}

/** Checkpoint tensors by canonical name, row-major f32: a Map, or a reader that fetches each one when it is asked for. */
export interface TensorSource {
  /** The names, in the order in which they are best asked for. */
  keys(): Iterable<string>;
  get(name: string): Float32Array | undefined | Promise<Float32Array | undefined>;
}

/** A tensor of the graph. `temp`s share memory; inputs are temps that the caller fills; states live from frame to frame. */
export interface Value {
  readonly id: number;
  readonly name: string;
  readonly spec: TensorSpec;
  readonly kind: "input" | "temp" | "state" | "weight";
  readonly bytes: number;
  readonly source?: WeightSource;
}

export interface Node {
  readonly name: string;
  // Attributes are checked where the node is made; afterwards only the op itself reads them.
  readonly op: OpDef<unknown>;
  readonly inputs: Readonly<Record<string, Value>>;
  readonly outputs: Readonly<Record<string, Value>>;
  readonly attrs: unknown;
}

/** Values and nodes in execution order: data, printable, no GPU object. */
export interface Graph {
  readonly name: string;
  readonly values: readonly Value[];
  readonly nodes: readonly Node[];
  readonly inputs: Readonly<Record<string, Value>>;
  readonly outputs: Readonly<Record<string, Value>>;
}

/** Builds a {@link Graph} by calling ops like functions. A mistake throws on the line that made it. */
export class GraphBuilder {
  readonly #name: string;
  readonly #values: Value[] = [];
  readonly #nodes: Node[] = [];
  readonly #inputs: Record<string, Value> = {};
  readonly #outputs: Record<string, Value> = {};
  readonly #names = new Set<string>();

  constructor(name: string) {
    this.#name = name;
  }

  /** A tensor that the caller fills before each run. */
  input(name: string, spec: TensorSpec): Value {
    const value = this.#value(name, spec, "input");
    this.#inputs[name] = value;
    return value;
  }

  /** A tensor that lives from run to run, zero at first and after reset(). */
  state(name: string, spec: TensorSpec): Value {
    return this.#value(name, spec, "state");
  }

  /** Packed weights; `spec` is their stored shape, last extent a multiple of 4. */
  weight(name: string, source: WeightSource): Value {
    if (source.length % 4 !== 0)
      fail("graph", `weight "${name}" packs to ${source.length} elements; a multiple of 4 is needed`);
    return this.#value(name, { type: "f32", shape: [source.length] }, "weight", source);
  }

  /** Adds a node; returns its outputs. */
  apply<A>(
    op: OpDef<A>,
    name: string,
    inputs: Readonly<Record<string, Value | undefined>>,
    attrs: A,
  ): Record<string, Value> {
    const given: Record<string, Value> = {};
    for (const [key, value] of Object.entries(inputs)) if (value) given[key] = value;
    this.#checkInputs(op.name, name, op.takes, given);
    const specs = Object.fromEntries(Object.entries(given).map(([key, value]) => [key, value.spec]));
    let inferred: Readonly<Record<string, TensorSpec>>;
    try {
      inferred = op.infer(specs, attrs);
    } catch (error) {
      const shapes = Object.entries(specs).map(([k, s]) => `${k} ${shapeText(s as TensorSpec)}`);
      fail(
        "graph",
        `${op.name} "${name}": ${error instanceof Error ? error.message : error} (${shapes.join(", ")})`,
        { node: name },
        error,
      );
    }
    const outputs: Record<string, Value> = {};
    const single = Object.keys(inferred).length === 1;
    for (const [key, spec] of Object.entries(inferred))
      outputs[key] = this.#value(single ? name : `${name}.${key}`, spec, "temp");
    this.#nodes.push({ name, op: op as OpDef<unknown>, inputs: given, outputs, attrs });
    return outputs;
  }

  /** Declares a value to be read back after a run. */
  output(name: string, value: Value): void {
    if (this.#outputs[name]) fail("graph", `output "${name}" is declared twice`);
    this.#outputs[name] = value;
  }

  build(): Graph {
    return { name: this.#name, values: this.#values, nodes: this.#nodes, inputs: this.#inputs, outputs: this.#outputs };
  }

  #checkInputs(op: string, node: string, takes: readonly string[], given: Readonly<Record<string, Value>>): void {
    for (const [key, value] of Object.entries(given)) {
      if (!takes.includes(key) && !takes.includes(`${key}?`))
        fail("graph", `${op} "${node}" has no input "${key}"; it takes ${takes.join(", ")}`, { node });
      if (this.#values[value.id] !== value)
        fail("graph", `${op} "${node}": "${value.name}" belongs to another graph; build it with this one`, { node });
    }
    const missing = takes.find((key) => !key.endsWith("?") && !given[key]);
    if (missing) fail("graph", `${op} "${node}" needs the input "${missing}"; it takes ${takes.join(", ")}`, { node });
  }

  #value(name: string, spec: TensorSpec, kind: Value["kind"], source?: WeightSource): Value {
    if (this.#names.has(name)) fail("graph", `the name "${name}" stands for two tensors; give one of them another`);
    this.#names.add(name);
    const value: Value = {
      id: this.#values.length,
      name,
      spec,
      kind,
      bytes: storedBytes(spec),
      ...(source ? { source } : {}),
    };
    this.#values.push(value);
    return value;
  }
}

/** Multiply-accumulates of one run. */
export function countMacs(graph: Graph): number {
  const specs = (values: Readonly<Record<string, Value>>) =>
    Object.fromEntries(Object.entries(values).map(([k, v]) => [k, v.spec]));
  return graph.nodes.reduce(
    (sum, node) => sum + (node.op.macs?.(specs(node.inputs), specs(node.outputs), node.attrs) ?? 0),
    0,
  );
}

/** Trained parameters that the graph reads: weights, biases, batch-norm scale and shift; running statistics excluded. */
export function countParameters(graph: Graph): number {
  const sizes = new Map<string, number>();
  for (const { source } of graph.values) {
    if (!source) continue;
    for (const [name, shape] of Object.entries(source.tensors)) {
      if (!source.statistics?.includes(name)) sizes.set(name, product(shape));
    }
  }
  return [...sizes.values()].reduce((a, b) => a + b, 0);
}

/** Checkpoint tensors that the graph needs: canonical name -> shape. */
export function wantedTensors(graph: Graph): Map<string, readonly number[]> {
  const wanted = new Map<string, readonly number[]>();
  for (const { source } of graph.values)
    for (const [name, shape] of Object.entries(source?.tensors ?? {})) wanted.set(name, shape);
  return wanted;
}
