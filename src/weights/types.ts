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
