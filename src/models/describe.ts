import type { ModelName } from "../weights/models.ts";

export { MODEL_NAMES, type ModelName, resnetBlocks, standardShift } from "../weights/models.ts";

/** What a graph is built from: the caller's clip and what the checkpoint says of itself. */
export interface ModelDescription {
  readonly model: ModelName;
  /** Frames in a clip; images for `mobilenetv2`; 1 for the online model as a stream, more for the same network over a clip. */
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  /** null: no classifier, the output is `features`. */
  readonly classes: number | null;
  /** Units whose input is shifted, by canonical name. */
  readonly shifted: ReadonlySet<string>;
  /** A shift takes floor(channels / shiftDivisor) channels from a neighbour. */
  readonly shiftDivisor: number;
  /** `same`: TensorFlow's padding; `symmetric`: PyTorch's. */
  readonly padding: "symmetric" | "same";
  /** Batch norm is already folded into weight and bias. */
  readonly folded: boolean;
  /** The output convolution of a non-local block has a bias (the authors' has, mmaction2's has none). Default true. */
  readonly nonLocalBias?: boolean;
}
