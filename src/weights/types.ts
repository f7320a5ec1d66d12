/** What every weight reader produces. */
import type { DType } from "./dtype.ts";
import type { LatentModel } from "./models.ts";

export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Bytes of the tensor when contiguous. */
  readonly byteLength: number;
  /** False when the tensor lies beyond the end of a truncated file. */
  readonly present: boolean;
  /** Byte position of the tensor's first element in the file, where known without a further read. */
  readonly offset?: number;
}

export type Container = "safetensors" | "torch-zip" | "torch-legacy";

export interface Checkpoint {
  readonly container: Container;
  /** Name of the source: a file name, path or address. */
  readonly name: string;
  /** Bytes there are. */
  readonly size: number;
  /** Bytes that the header promises beyond the end of the file; 0 for a complete file. */
  readonly missingBytes: number;
  /** `__metadata__` of safetensors; the plain scalars next to a torch `state_dict` (epoch, arch). */
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * A tensor's bytes: contiguous, row-major, little-endian. Throws "bad-input" (no such tensor), "truncated" (beyond
   * the end of the file), "bad-file" (a checksum or count that disagrees).
   */
  read(name: string): Promise<Uint8Array>;
  /** A floating tensor as f32; throws as {@link read}, and "unsupported" for other dtypes. */
  readF32(name: string): Promise<Float32Array>;
}

/** How a frame becomes a transformer's input: short side to `resize`, centre crop, then (x - mean) / std of values from 0 to 1. */
export interface TransformerInput {
  /** Pixels. */
  readonly resize: number;
  /** Pixels; the side of the network's input. */
  readonly crop: number;
  readonly filter: "bilinear" | "bicubic";
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** What the names and shapes of a ViT or STAM checkpoint say of the network. */
export interface Transformer {
  /** Channels of a token. */
  readonly width: number;
  /** Spatial blocks: the highest number in the names plus one. */
  readonly depth: number;
  /** Attention heads of a spatial block: 64 channels each, unless the metadata say otherwise. */
  readonly heads: number;
  /** Channels inside a spatial block's MLP. */
  readonly hidden: number;
  /** Side of a patch in pixels. */
  readonly patch: number;
  /** Side of the square input in pixels: patches of `pos_embed` times `patch`. */
  readonly imageSize: number;
  /** STAM: frames in a clip, T of `aggregate.pos_embed` [1, T + 1, width]. null for ViT. */
  readonly frames: number | null;
  /** STAM: layers of the temporal encoder; 0 for ViT. */
  readonly temporalDepth: number;
  readonly temporalHeads: number;
  /** STAM: channels inside a temporal layer's feed-forward part; 0 for ViT. */
  readonly temporalHidden: number;
  /** False when the file has no `blocks.N.attn.qkv.bias`: the bias is zeros and the graph must not ask for it. */
  readonly qkvBias: boolean;
  /** Layer norm's epsilon: 1e-5 in STAM, 1e-6 in timm's ViT, or what the metadata say. */
  readonly epsilon: number;
  readonly preprocessing: TransformerInput;
  /** Why no network can be built from the file, one phrase each; empty for a sound file. See `checkTransformer`. */
  readonly faults: readonly string[];
}

/** What the names and shapes of a file of the TAESD family say of one half of the auto-encoder. */
export interface LatentHalf {
  readonly model: LatentModel;
  readonly half: "encoder" | "decoder";
  /** Channels of a latent: 4, 12, 16, 24, 32, 48 or 128 in the published files. */
  readonly latent: number;
  /** Channels of the blocks: one number for all stages, or of a TAEHV decoder one a stage and that in front of the picture. */
  readonly widths: readonly number[];
  /** The blocks beside the latent first add what group-normed 1x1 layers make of the whole image (FLUX.2). */
  readonly pools: boolean;
  /** Blocks also see their input of the frame before. */
  readonly memory: boolean;
  /** Frames that a stage makes of one, or of which it makes one; in order of the stages. */
  readonly time: readonly number[];
  /** Side of the pixel shuffle at the picture. */
  readonly shuffle: number;
  /** Why it cannot be built, one phrase each; empty for a sound file. See `checkLatents`. */
  readonly faults: readonly string[];
}

/** How vectors become codes: the nearest of a codebook's, or each number rounded to one of a few levels. */
export type Quantiser =
  | { readonly kind: "vq"; readonly codes: number; readonly dim: number; readonly codebooks: number }
  | { readonly kind: "fsq"; readonly levels: readonly number[] };

/** What the names, shapes and metadata of a compressor's file say of the network. */
export interface CompressorShape {
  /** Channels at the code grid; a layer farther out has half as many. */
  readonly channels: number;
  /** Strided layers: a code covers 2^layers pixels a side. */
  readonly layers: number;
  /** Frames a code covers. */
  readonly time: 1 | 2;
  /** Channels inside a residual block, times `channels`. */
  readonly multiple: number;
  readonly encoderBlocks: number;
  readonly decoderBlocks: number;
  readonly quantiser: Quantiser;
}

/** What a file of a network on codes says of the network. */
export interface MotionCodesShape {
  /** How a step sees the one before: through a window of two ("s3d"), or by an eighth of its channels ("tsm"). */
  readonly backbone: "s3d" | "tsm";
  /** Channels of each stage; a stage after the first has half the rows and columns of the one before. */
  readonly widths: readonly number[];
  /** Blocks of each stage. */
  readonly blocks: readonly number[];
  readonly classes: number;
  /** Of the compressor whose codes are read. */
  readonly quantiser: Quantiser;
  /** Where codes are finer than the first stage's grid, twice in time, rows and columns: channels of a code's vector; else null. */
  readonly fine: number | null;
}

/** What a file of an augmentation network says of the network. */
export interface AugmenterShape {
  /** Steps and sites that are seen at once. */
  readonly steps: number;
  readonly sites: number;
  /** Numbers of a latent. */
  readonly latent: number;
  /** Channels of either half of a site: what is told of the change, and what is there. */
  readonly half: number;
  readonly heads: number;
  readonly layers: number;
  /** Channels inside an MLP. */
  readonly hidden: number;
}
