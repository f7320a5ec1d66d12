/**
 * The container of torch.save before 1.6: five pickles (magic, version, system, object, storage keys), then per storage
 * key an int64 element count and the raw bytes, without padding. The pickles declare every count, so the position of
 * each storage is known before any of its bytes is read.
 */
import { fail } from "../core/fail.ts";
import type { ByteSource } from "./byte_source.ts";
import { readExactly } from "./byte_source.ts";
import { HeadBuffer, unpickle } from "./pickle.ts";
import type { OpcodeBudget } from "./pickle_machine.ts";
import { MAX_OPCODES } from "./pickle_machine.ts";
import type { PickleValue, StorageRecord } from "./pickle_values.ts";
import { PickleDict, PickleList } from "./pickle_values.ts";
import { show } from "./safetensors_header.ts";
import { TorchBuilder } from "./torch_builder.ts";
import type { StorageBytes } from "./torch_checkpoint.ts";
import { storageBytes, torchCheckpoint } from "./torch_checkpoint.ts";
import type { Checkpoint } from "./types.ts";

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL_VERSION = 1001;

/**
 * Opens a legacy file, or a bare pickle to say why it cannot be used. A file cut in its storages opens with
 * `missingBytes > 0`. Throws as {@link unpickle}.
 */
export async function openTorchLegacy(source: ByteSource): Promise<Checkpoint> {
  const { name } = source;
  const head = new HeadBuffer(source);
  const budget: OpcodeBudget = { left: MAX_OPCODES };
  const builder = new TorchBuilder(source.size);
  let at = 0;
  const next = async (): Promise<PickleValue> => {
    const { value, end } = await unpickle(head, at, budget, builder);
    at = end;
    return value;
  };
  if ((await next()) !== MAGIC) {
    fail("bad-file", `${name}: a Python pickle that torch.save did not write; save model.state_dict() with torch.save`);
  }
  const version = await next();
  if (version !== PROTOCOL_VERSION)
    fail("unsupported", `${name}: torch container version ${String(version)} is unknown`);
  const system = await next();
  if (!(system instanceof PickleDict)) return fail("bad-file", `${name}: the system record is not a dictionary`);
  if (system.entries.get("little_endian") !== true) fail("unsupported", `${name}: written on a big-endian machine`);
  const root = await next();
  const keys = await next();
  const layout = layOut(keys, builder.storages, at, name);
  const surplus = source.size - layout.end;
  if (surplus > 0) fail("bad-file", `${name}: ${surplus} bytes follow the last storage; the file is damaged`);
  return torchCheckpoint(
    "torch-legacy",
    source,
    root,
    Math.max(0, -surplus),
    new LegacyStorages(source, layout.starts),
  );
}

/** Positions of the storages' first bytes, in the order of the key list. */
function layOut(
  keys: PickleValue,
  storages: ReadonlyMap<string, StorageRecord>,
  dataStart: number,
  file: string,
): { starts: ReadonlyMap<string, number>; end: number } {
  if (!(keys instanceof PickleList)) return fail("bad-file", `${file}: the list of storage keys is not a list`);
  const starts = new Map<string, number>();
  let at = dataStart;
  for (const key of keys.items) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (!storage || starts.has(storage.key)) {
      return fail("bad-file", `${file}: storage key ${show(String(key))} is listed twice or belongs to no tensor`);
    }
    starts.set(storage.key, at + 8);
    at += 8 + storageBytes(storage);
    if (!Number.isSafeInteger(at)) return fail("bad-file", `${file}: the storages end beyond 2^53 bytes`);
  }
  for (const key of storages.keys()) {
    if (!starts.has(key)) return fail("bad-file", `${file}: storage ${show(key)} is used and not listed`);
  }
  return { starts, end: at };
}

class LegacyStorages implements StorageBytes {
  private readonly source: ByteSource;
  private readonly starts: ReadonlyMap<string, number>;
  private readonly checked = new Set<string>();
  constructor(source: ByteSource, starts: ReadonlyMap<string, number>) {
    this.source = source;
    this.starts = starts;
  }

  locate(storage: StorageRecord, start: number): number {
    return this.starts.get(storage.key)! + start;
  }

  present(storage: StorageRecord, start: number, length: number): boolean {
    return this.locate(storage, start) + length <= this.source.size;
  }

  async read(storage: StorageRecord, start: number, length: number, what: string): Promise<Uint8Array> {
    if (!this.checked.has(storage.key)) {
      const bytes = await readExactly(this.source, this.locate(storage, -8), 8, `the element count of ${what}`);
      const count = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0, true);
      if (count !== BigInt(storage.elements)) {
        fail(
          "bad-file",
          `${this.source.name}: ${what}: its storage says ${count} elements and its pickle ${storage.elements}; the file is damaged`,
        );
      }
      this.checked.add(storage.key);
    }
    return readExactly(this.source, this.locate(storage, start), length, what);
  }
}
