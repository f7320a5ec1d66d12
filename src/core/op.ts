import type { Value } from "./graph.ts";
import type { WeightForm } from "./kept.ts";
import type { Dispatch } from "./kernel.ts";
import type { TensorSpec } from "./tensor.ts";

/** What the device is, as far as choosing a kernel goes. `cpu`: a software adapter, where workgroup memory and barriers cost dearly. */
export interface Caps {
  readonly kind: "cpu" | "gpu";
  readonly f16: boolean;
  readonly subgroups: boolean;
  readonly timestamps: boolean;
  /** Multiply-accumulates of the whole graph in all runs that are foreseen: larger tiles take longer to compile. Set by plan(). */
  readonly macs?: number;
  /** How the weights of matrix products are kept; asked for by the caller. Default f32. */
  readonly weights?: WeightForm;
  /** Matrices that a subgroup multiplies in hardware, with f32 sums; and its threads, where all subgroups have as many. */
  readonly matrices?: readonly MatrixShape[];
  readonly subgroupSize?: number;
  /** What was measured to be fastest on this adapter: class of products -> body (src/ops/matmul_body.ts). */
  readonly tuned?: Readonly<Record<string, string>>;
}

/** [m, k] by [k, n] numbers of that type. */
export interface MatrixShape {
  readonly component: "f32" | "f16";
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export type Specs = Readonly<Record<string, TensorSpec | undefined>>;
export type Values = Readonly<Record<string, Value | undefined>>;

/**
 * An operation: a shape rule and a choice of dispatches. It knows no GPU object.
 * `A` are its attributes. Inputs that a call may leave out are absent in the records.
 */
export interface OpDef<A> {
  readonly name: string;
  /** Names of the inputs; those with a question mark may be left out. */
  readonly takes: readonly string[];
  /** Output shapes; throws a "graph" error with both shapes and the remedy. */
  infer(inputs: Specs, attrs: A): Readonly<Record<string, TensorSpec>>;
  /** The dispatches that compute it on this device. */
  lower(values: Values, attrs: A, caps: Caps): readonly Dispatch[];
  /** Multiply-accumulates, as the field counts them (padding and bias excluded). */
  macs?(inputs: Specs, outputs: Specs, attrs: A): number;
  /** Output -> input whose memory it takes over (a residual that is summed in place). */
  readonly inPlace?: Readonly<Record<string, string>>;
}

/** Checks nothing; gives inference of `A` at the definition. */
export const defineOp = <A>(op: OpDef<A>): OpDef<A> => op;
