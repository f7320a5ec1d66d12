/** The part that both torch containers share: from the unpickled value to named tensors, and their reading. */
import { fail } from "../core/fail.ts";
import type { ByteSource } from "./byte_source.ts";
import { bitsOf, elementCount, toFloat32 } from "./dtype.ts";
import type { PickleValue, StorageRecord } from "./pickle_values.ts";
import { PickleDict, TensorRecord } from "./pickle_values.ts";
import { recordOf } from "./safetensors.ts";
import { show } from "./safetensors_header.ts";
import { isContiguous, repack, spanOf } from "./strided.ts";
import type { Checkpoint, Container, TensorInfo } from "./types.ts";

/** Where a container keeps the bytes of its storages. */
export interface StorageBytes {
  /** Position in the file of byte `start` of the storage, where known without a read. */
  locate(storage: StorageRecord, start: number): number | undefined;
  /** Whether bytes [start, start + length) of the storage are inside the file. */
  present(storage: StorageRecord, start: number, length: number): boolean;
  /** Bytes [start, start + length), after the container's own check of the storage (element count or CRC-32). */
  read(storage: StorageRecord, start: number, length: number, what: string): Promise<Uint8Array>;
}

/** Bytes of the whole storage. */
export function storageBytes(storage: StorageRecord): number {
  return (storage.elements * bitsOf(storage.dtype)) / 8;
}

/** Where training scripts put the tensors; the averaged copy (EMA) only where there is no other. */
const WRAPPERS = ["state_dict", "model", "state_dict_ema", "model_ema"];
const MAX_WRAPPERS = 4;

/** Descends through `{state_dict: ...}` and `{model: ...}`; keeps the plain scalars beside them as metadata. */
function unwrap(root: PickleValue, file: string): { state: PickleDict; metadata: Map<string, string> } {
  const metadata = new Map<string, string>();
  if (!(root instanceof PickleDict)) {
    return fail(
      "unsupported",
      `${file}: the file holds no dictionary of tensors; save model.state_dict() with torch.save`,
    );
  }
  let state = root;
  for (let depth = 0; depth < MAX_WRAPPERS; depth++) {
    const inner: PickleValue | undefined = WRAPPERS.map((key) => state.entries.get(key)).find(
      (value) => value instanceof PickleDict,
    );
    if (!(inner instanceof PickleDict)) break;
    for (const [key, value] of state.entries) {
      const plain = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
      if (typeof key === "string" && plain) metadata.set(key, String(value).slice(0, 200));
    }
    state = inner;
  }
  return { state, metadata };
}

/** Builds the checkpoint of an unpickled object. Reads nothing. */
export function torchCheckpoint(
  container: Container,
  source: ByteSource,
  root: PickleValue,
  missingBytes: number,
  storage: StorageBytes,
): Checkpoint {
  const { state, metadata } = unwrap(root, source.name);
  const records = new Map<string, TensorRecord>();
  const tensors = new Map<string, TensorInfo>();
  for (const [name, record] of state.entries) {
    if (typeof name !== "string" || !(record instanceof TensorRecord)) continue;
    records.set(name, record);
    tensors.set(name, describe(name, record, storage));
  }
  return new TorchCheckpoint(container, source, missingBytes, recordOf(metadata), tensors, records, storage);
}

function describe(name: string, record: TensorRecord, storage: StorageBytes): TensorInfo {
  const { dtype, shape } = record;
  const { start, length } = rangeOf(record);
  const byteLength = (elementCount(shape)! * bitsOf(dtype)) / 8;
  const info = { name, dtype, shape, byteLength, present: storage.present(record.storage, start, length) };
  const offset = storage.locate(record.storage, start);
  return offset === undefined ? info : { ...info, offset };
}

/** Byte range of the storage that the view touches. */
function rangeOf(record: TensorRecord): { start: number; length: number } {
  const unit = bitsOf(record.dtype) / 8;
  return { start: record.offset * unit, length: spanOf(record.shape, record.strides) * unit };
}

class TorchCheckpoint implements Checkpoint {
  readonly container: Container;
  readonly name: string;
  readonly size: number;
  readonly missingBytes: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  private readonly records: ReadonlyMap<string, TensorRecord>;
  private readonly storage: StorageBytes;

  constructor(
    container: Container,
    source: ByteSource,
    missingBytes: number,
    metadata: Readonly<Record<string, string>>,
    tensors: ReadonlyMap<string, TensorInfo>,
    records: ReadonlyMap<string, TensorRecord>,
    storage: StorageBytes,
  ) {
    this.container = container;
    this.name = source.name;
    this.size = source.size;
    this.missingBytes = missingBytes;
    this.metadata = metadata;
    this.tensors = tensors;
    this.records = records;
    this.storage = storage;
  }

  async read(name: string): Promise<Uint8Array> {
    const record = this.records.get(name);
    if (!record) return fail("bad-input", `${this.name}: there is no tensor ${show(name)}`);
    const { start, length } = rangeOf(record);
    if (length === 0) return new Uint8Array(0);
    const span = await this.storage.read(record.storage, start, length, `tensor ${show(name)}`);
    if (isContiguous(record.shape, record.strides)) return span;
    return repack(span, record.shape, record.strides, bitsOf(record.dtype) / 8);
  }

  async readF32(name: string): Promise<Float32Array> {
    const bytes = await this.read(name);
    return toFloat32(bytes, this.tensors.get(name)!.dtype, name);
  }
}
