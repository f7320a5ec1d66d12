/**
 * The container of torch.save since 1.6: a zip of stored entries under one folder, `<root>/data.pkl` and
 * `<root>/data/<key>` per storage. Every byte that is handed out has passed its entry's CRC-32.
 */
import { fail } from "../core/fail.ts";
import type { ByteSource } from "./byte_source.ts";
import { fromBytes, readExactly } from "./byte_source.ts";
import { crc32 } from "./crc32.ts";
import { HeadBuffer, unpickle } from "./pickle.ts";
import { MAX_OPCODES, MAX_PICKLE_BYTES } from "./pickle_machine.ts";
import type { StorageRecord } from "./pickle_values.ts";
import { show } from "./safetensors_header.ts";
import { TorchBuilder } from "./torch_builder.ts";
import type { StorageBytes } from "./torch_checkpoint.ts";
import { storageBytes, torchCheckpoint } from "./torch_checkpoint.ts";
import type { Checkpoint } from "./types.ts";
import type { ZipEntry } from "./zip_directory.ts";
import { broken, decodeName, readZipDirectory, take, viewOf, wideFields } from "./zip_directory.ts";

/** Chunk of a checksum pass over an entry that is read in parts. */
const CHUNK_BYTES = 4 * 1024 * 1024;

/** Opens a zip file; reads its directory and its pickle. Throws as readZipDirectory and unpickle. */
export async function openTorchZip(source: ByteSource): Promise<Checkpoint> {
  const { name } = source;
  const entries = await readZipDirectory(source);
  const root = rootOf(source, entries);
  const archive = new ZipArchive(source, entries);
  if (entries.has(`${root}/byteorder`)) {
    const order = new TextDecoder().decode(await archive.readWhole(`${root}/byteorder`, 64)).trim();
    if (order !== "little") fail("unsupported", `${name}: written on a ${show(order)}-endian machine`);
  }
  const pickle = await archive.readWhole(`${root}/data.pkl`, MAX_PICKLE_BYTES);
  const builder = new TorchBuilder(source.size);
  const head = new HeadBuffer(fromBytes(pickle, `${name} (${root}/data.pkl)`));
  const { value } = await unpickle(head, 0, { left: MAX_OPCODES }, builder);
  const storages = new ZipStorages(archive, root);
  for (const storage of builder.storages.values()) storages.check(storage);
  return torchCheckpoint("torch-zip", source, value, 0, storages);
}

/** The one top folder. */
function rootOf(source: ByteSource, entries: ReadonlyMap<string, ZipEntry>): string {
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const root = pickles[0]?.slice(0, -"/data.pkl".length);
  if (root === undefined || pickles.length !== 1) {
    return fail(
      "unsupported",
      `${source.name}: a zip without one <folder>/data.pkl: not a torch checkpoint; give a .pth or .safetensors file`,
    );
  }
  for (const name of entries.keys()) {
    if (!name.startsWith(`${root}/`) || name.includes("\\") || name.split("/").includes("..")) {
      broken(source, `entry ${show(name)} is outside the folder ${show(root)}`);
    }
    if (name === `${root}/constants.pkl`) {
      fail("unsupported", `${source.name}: a TorchScript program; save model.state_dict() with torch.save instead`);
    }
  }
  return root;
}

class ZipArchive {
  readonly source: ByteSource;
  readonly entries: ReadonlyMap<string, ZipEntry>;
  private readonly starts = new Map<string, number>();
  private readonly verified = new Set<string>();
  constructor(source: ByteSource, entries: ReadonlyMap<string, ZipEntry>) {
    this.source = source;
    this.entries = entries;
  }

  /** Reads an entry of at most `limit` bytes and checks its CRC-32. */
  async readWhole(name: string, limit: number): Promise<Uint8Array> {
    const entry = this.entries.get(name)!;
    if (entry.size > limit) broken(this.source, `entry ${show(name)} of ${entry.size} bytes`);
    return this.read(entry, 0, entry.size);
  }

  /** Bytes [start, start + length) of an entry; the first read of a part checks the whole entry once. */
  async read(entry: ZipEntry, start: number, length: number): Promise<Uint8Array> {
    const at = await this.dataStart(entry);
    if (this.verified.has(entry.name)) return readExactly(this.source, at + start, length, entry.name);
    if (start === 0 && length === entry.size) {
      const bytes = await readExactly(this.source, at, length, entry.name);
      this.verify(entry, crc32(bytes));
      return bytes;
    }
    let crc = 0;
    for (let done = 0; done < entry.size; done += CHUNK_BYTES) {
      const part = Math.min(CHUNK_BYTES, entry.size - done);
      crc = crc32(await readExactly(this.source, at + done, part, entry.name), crc);
    }
    this.verify(entry, crc);
    return readExactly(this.source, at + start, length, entry.name);
  }

  private verify(entry: ZipEntry, crc: number): void {
    if (crc !== entry.crc) {
      fail(
        "bad-file",
        `${this.source.name}: zip entry ${show(entry.name)} fails its CRC-32; the file is damaged, download it again`,
        {
          entry: entry.name,
        },
      );
    }
    this.verified.add(entry.name);
  }

  /** Position of an entry's first byte, after checking that its local header says what the directory says. */
  private async dataStart(entry: ZipEntry): Promise<number> {
    const known = this.starts.get(entry.name);
    if (known !== undefined) return known;
    const { source } = this;
    const header = viewOf(await readExactly(source, entry.offset, 30, "a zip local header"));
    const nameBytes = header.getUint16(26, true);
    const extraBytes = header.getUint16(28, true);
    const start = entry.offset + 30 + nameBytes + extraBytes;
    if (header.getUint32(0, true) !== 0x04034b50 || start + entry.size > entry.limit) {
      broken(source, `the local header of ${show(entry.name)} is damaged or overlaps what follows`);
    }
    const rest = await readExactly(source, entry.offset + 30, nameBytes + extraBytes, "a zip local header");
    const wide = wideFields(source, viewOf(rest.subarray(nameBytes)));
    const size = take(header.getUint32(22, true), wide);
    const packed = take(header.getUint32(18, true), wide);
    const crc = header.getUint32(14, true);
    // Bit 3: the writer streamed, sizes and checksum follow the data and the header may hold zeros.
    const later = (entry.flags & 8) !== 0 && crc === 0 && size === 0 && packed === 0;
    const agrees =
      decodeName(source, rest.subarray(0, nameBytes)) === entry.name &&
      header.getUint16(6, true) === entry.flags &&
      header.getUint16(8, true) === 0 &&
      (later || (size === entry.size && packed === entry.size && crc === entry.crc));
    if (!agrees) broken(source, `the local header of ${show(entry.name)} disagrees with the directory`);
    this.starts.set(entry.name, start);
    return start;
  }
}

class ZipStorages implements StorageBytes {
  private readonly archive: ZipArchive;
  private readonly root: string;
  constructor(archive: ZipArchive, root: string) {
    this.archive = archive;
    this.root = root;
  }

  private entry(storage: StorageRecord): ZipEntry | undefined {
    return this.archive.entries.get(`${this.root}/data/${storage.key}`);
  }

  /** A storage must have exactly the bytes that the pickle declares (CVE-2026-24747 was the lack of this check). */
  check(storage: StorageRecord): void {
    const { source } = this.archive;
    const entry = this.entry(storage);
    if (!entry) broken(source, `storage ${show(storage.key)} is declared and not in the archive`);
    const declared = storageBytes(storage);
    if (entry.size !== declared) {
      broken(source, `storage ${show(storage.key)} is declared with ${declared} bytes and holds ${entry.size}`);
    }
  }

  locate(): undefined {
    return undefined;
  }

  present(): boolean {
    return true;
  }

  read(storage: StorageRecord, start: number, length: number): Promise<Uint8Array> {
    return this.archive.read(this.entry(storage)!, start, length);
  }
}
