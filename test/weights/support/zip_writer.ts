/** A zip writer that can also write what no archiver would. */
import { crc32 } from "../../../src/weights/crc32.ts";
import { concat, u16, u32, u64 } from "./bytes.ts";

export interface ZipFile {
  readonly name: string;
  readonly data: Uint8Array;
  /** Overrides of what the headers say. */
  readonly method?: number;
  readonly flags?: number;
  readonly crc?: number;
  readonly directorySize?: number;
  readonly localName?: string;
  readonly offset?: number;
  /** Bytes of the extra field that pads the data, as torch aligns it. */
  readonly padding?: number;
}

/** Writes the entries; with `wide`, every size and offset goes into zip64 fields and the end record is zip64's. */
export function zip(files: readonly ZipFile[], wide = false): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const file of files) {
    const local = localHeader(file, wide);
    directory.push(directoryEntry(file, file.offset ?? at, wide));
    parts.push(local, file.data);
    at += local.length + file.data.length;
  }
  const central = concat(directory);
  const count = files.length;
  if (!wide) {
    return concat([
      ...parts,
      central,
      u32(0x06054b50),
      u16(0),
      u16(0),
      u16(count),
      u16(count),
      u32(central.length),
      u32(at),
      u16(0),
    ]);
  }
  const end64 = concat([
    ...[
      u32(0x06064b50),
      u64(44),
      u16(45),
      u16(45),
      u32(0),
      u32(0),
      u64(count),
      u64(count),
      u64(central.length),
      u64(at),
    ],
    ...[u32(0x07064b50), u32(0), u64(at + central.length), u32(1)],
  ]);
  const full = [u16(0xffff), u16(0xffff), u32(0xffffffff), u32(0xffffffff)];
  return concat([...parts, central, end64, u32(0x06054b50), u16(0), u16(0), ...full, u16(0)]);
}

function localHeader(file: ZipFile, wide: boolean): Uint8Array {
  const name = new TextEncoder().encode(file.localName ?? file.name);
  const size = file.data.length;
  const extra = wide
    ? concat([u16(1), u16(16), u64(size), u64(size)])
    : file.padding
      ? concat([u16(0x4246), u16(file.padding - 4), new Uint8Array(file.padding - 4).fill(0x5a)])
      : new Uint8Array(0);
  const sizes = wide ? [u32(0xffffffff), u32(0xffffffff)] : [u32(size), u32(size)];
  const crc = u32(file.crc ?? crc32(file.data));
  const head = [u32(0x04034b50), u16(0), u16(file.flags ?? 0), u16(file.method ?? 0), u32(0), crc, ...sizes];
  return concat([...head, u16(name.length), u16(extra.length), name, extra]);
}

function directoryEntry(file: ZipFile, offset: number, wide: boolean): Uint8Array {
  const name = new TextEncoder().encode(file.name);
  const size = file.directorySize ?? file.data.length;
  const extra = wide ? concat([u16(1), u16(24), u64(size), u64(size), u64(offset)]) : new Uint8Array(0);
  const sizes = wide ? [u32(0xffffffff), u32(0xffffffff)] : [u32(size), u32(size)];
  const crc = u32(file.crc ?? crc32(file.data));
  const head = [u32(0x02014b50), u16(0), u16(0), u16(file.flags ?? 0), u16(file.method ?? 0), u32(0), crc, ...sizes];
  const tail = [u16(0), u16(0), u16(0), u32(0), u32(wide ? 0xffffffff : offset)];
  return concat([...head, u16(name.length), u16(extra.length), ...tail, name, extra]);
}
