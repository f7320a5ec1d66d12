import type { ModelName } from "../weights/models.ts";
import type { LatentHalf, Transformer } from "../weights/types.ts";

export {
  isLatentModel,
  type LatentModel,
  MODEL_NAMES,
  type ModelName,
  resnetBlocks,
  standardShift,
} from "../weights/models.ts";
export type { LatentHalf } from "../weights/types.ts";

/** The network of a ViT or STAM checkpoint, as far as its graph depends on it. */
export type TransformerShape = Omit<Transformer, "imageSize" | "preprocessing" | "faults">;

/** What a graph is built from: the caller's clip and what the checkpoint says of itself. */
export interface ModelDescription {
  readonly model: ModelName;
  /**
   * Frames in a clip; images for `mobilenetv2` and `vit`; 1 for the online model as a stream, more for the same network
   * over a clip. For `stam` the frames that its positions are of, or 1: a stream that keeps the features of so many.
   */
  readonly frames: number;
  /** Clips in a run, one behind the other: the input has so many times `frames`. Of a TSM without non-local blocks. Default 1. */
  readonly clips?: number;
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
  /** The network of a `vit` or `stam`; no other model has one. */
  readonly transformer?: TransformerShape | null;
  /** The half of a latent auto-encoder; no other model has one. Its height and width are the picture's, its frames the input's. */
  readonly latents?: LatentHalf | null;
  /** `vit` and `stam` take frames in groups, as large as fit into so many bytes of activations. Default 80e6. */
  readonly activationBytes?: number;
  /** `vit` and `stam` also make `blocks.N.shares` and `aggregate.N.shares` of their last layers: what the class token looks at. */
  readonly shares?: boolean;
  /** `vit` and `stam` compute every token of their last layers, as the definition has it, though only the class token's is used. */
  readonly everyToken?: boolean;
}

/** Frames of a run: of all its clips. */
export const framesIn = ({ frames, clips = 1 }: ModelDescription): number => frames * clips;

/** Whether a run can have several clips. What is per image takes several as frames; a stream is one, and so is what looks across its clip. */
export const takesClips = ({ model, frames }: Pick<ModelDescription, "model" | "frames">): boolean =>
  model.startsWith("tsm-") && model !== "tsm-resnet50-nl" && !(model === "tsm-mobilenetv2-online" && frames === 1);
