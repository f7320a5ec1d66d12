/** What every weight reader produces. */
import type { DType } from "./dtype.ts";

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
