/**
 * safetensors (huggingface/safetensors): an 8-byte little-endian header length, a JSON header, then the bytes of the
 * tensors without gap. Reader: strict. Writer: aligned, deterministic.
 */
import { fail } from "../core/fail.ts";
import type { ByteSource } from "./byte_source.ts";
import { readExactly } from "./byte_source.ts";
import type { DType } from "./dtype.ts";
import { bitsOf, byteLengthOf, elementCount, toFloat32 } from "./dtype.ts";
import type { HeaderEntry } from "./safetensors_header.ts";
import { decodeHeader, parseSafetensorsHeader, show } from "./safetensors_header.ts";
import type { Checkpoint, TensorInfo } from "./types.ts";

/** The cap of the reference implementation. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Opens a safetensors file; reads the header only. A file whose data section is too short opens with
 * `missingBytes > 0`. Throws "bad-file" for anything the format forbids, "truncated" when the header itself is cut.
 */
export async function openSafetensors(source: ByteSource): Promise<Checkpoint> {
  const { name, size } = source;
  const prefix = await readExactly(source, 0, 8, "the safetensors header length");
  const declared = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (declared > BigInt(MAX_HEADER_BYTES)) {
    fail(
      "bad-file",
      `${name}: the safetensors header says ${declared} bytes, the limit is ${MAX_HEADER_BYTES}; refuse the file`,
      {
        headerBytes: String(declared),
      },
    );
  }
  const headerBytes = Number(declared);
  const text = decodeHeader(await readExactly(source, 8, headerBytes, "the safetensors header"), name);
  const { metadata, entries, dataLength } = await parseSafetensorsHeader(text, name);
  const dataStart = 8 + headerBytes;
  if (!Number.isSafeInteger(dataStart + dataLength)) fail("bad-file", `${name}: the tensors end beyond 2^53 bytes`);
  const surplus = size - (dataStart + dataLength);
  if (surplus > 0) fail("bad-file", `${name}: ${surplus} bytes follow the last tensor; the file is damaged or hostile`);
  return new SafetensorsCheckpoint(source, metadata, entries, dataStart, Math.max(0, -surplus));
}

class SafetensorsCheckpoint implements Checkpoint {
  readonly container = "safetensors";
  readonly name: string;
  readonly size: number;
  readonly missingBytes: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  private readonly source: ByteSource;

  constructor(
    source: ByteSource,
    metadata: ReadonlyMap<string, string>,
    entries: ReadonlyMap<string, HeaderEntry>,
    dataStart: number,
    missingBytes: number,
  ) {
    this.source = source;
    this.name = source.name;
    this.size = source.size;
    this.missingBytes = missingBytes;
    this.metadata = recordOf(metadata);
    const tensors = new Map<string, TensorInfo>();
    for (const [name, { dtype, shape, begin, end }] of entries) {
      const present = dataStart + end <= source.size;
      tensors.set(name, { name, dtype, shape, byteLength: end - begin, present, offset: dataStart + begin });
    }
    this.tensors = tensors;
  }

  async read(name: string): Promise<Uint8Array> {
    const info = this.tensors.get(name);
    if (!info) return fail("bad-input", `${this.name}: there is no tensor ${show(name)}`);
    return readExactly(this.source, info.offset!, info.byteLength, `tensor ${show(name)}`);
  }

  async readF32(name: string): Promise<Float32Array> {
    const bytes = await this.read(name);
    return toFloat32(bytes, this.tensors.get(name)!.dtype, name);
  }
}

/** A record without prototype, so that a key named `__proto__` is a key like any other. */
export function recordOf(entries: Iterable<readonly [string, string]>): Readonly<Record<string, string>> {
  const record: Record<string, string> = Object.create(null);
  for (const [key, value] of entries) record[key] = value;
  return record;
}

/** A tensor to write: `data` holds little-endian, row-major elements of `dtype`. */
export interface TensorToWrite {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/**
 * Writes a safetensors file. Tensors are ordered by element size, then name, so that each starts aligned.
 * Throws "bad-input" when a tensor's bytes do not equal its shape x dtype.
 */
export function writeSafetensors(
  tensors: Readonly<Record<string, TensorToWrite>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const sorted = Object.entries(tensors).sort(
    ([a, x], [b, y]) => bitsOf(y.dtype) - bitsOf(x.dtype) || (a < b ? -1 : a > b ? 1 : 0),
  );
  // Text is assembled entry by entry: an object literal would lose a tensor named __proto__.
  const parts: string[] = [];
  const meta = Object.entries(metadata).map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  if (meta.length > 0) parts.push(`"__metadata__":{${meta.join(",")}}`);
  let length = 0;
  for (const [name, { dtype, shape, data }] of sorted) {
    const count = elementCount(shape);
    const size = count === null ? null : byteLengthOf(dtype, count);
    if (name === "__metadata__" || size !== data.byteLength) {
      fail("bad-input", `cannot write tensor ${show(name)}: ${dtype} [${shape}] is not ${data.byteLength} bytes`);
    }
    parts.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${length},${length + data.byteLength}]}`,
    );
    length += data.byteLength;
  }
  const json = new TextEncoder().encode(`{${parts.join(",")}}`);
  const headerBytes = Math.ceil(json.byteLength / 8) * 8;
  const file = new Uint8Array(8 + headerBytes + length);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.fill(0x20, 8, 8 + headerBytes);
  file.set(json, 8);
  let at = 8 + headerBytes;
  for (const [, { data }] of sorted) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}
