import type { Value } from "./graph.ts";
import type { Dispatch } from "./kernel.ts";
import type { TensorSpec } from "./tensor.ts";

/** What the device is, as far as choosing a kernel goes. `cpu`: a software adapter, where workgroup memory and barriers cost dearly. */
export interface Caps {
  readonly kind: "cpu" | "gpu";
  readonly f16: boolean;
  readonly subgroups: boolean;
  readonly timestamps: boolean;
  /** Keep matrix weights as f16; sums stay f32. Asked for by the caller, and possible only with `f16`. */
  readonly halfWeights?: boolean;
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
