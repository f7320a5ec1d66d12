/** torch.save files assembled opcode by opcode, so that tests can write what torch never would. */
import { concat, latin1, u32, u64 } from "./bytes.ts";
import { zip } from "./zip_writer.ts";

/** Opcodes as Latin-1 text: pieces are joined, integers take the widest form. */
export const int = (value: number): string => `J${String.fromCharCode(...u32(value))}`;
export const long = (value: bigint, bytes = 9): string => {
  let digits = "";
  for (let i = 0; i < bytes; i++) digits += String.fromCharCode(Number((value >> BigInt(8 * i)) & 255n));
  return `\x8a${String.fromCharCode(bytes)}${digits}`;
};
export const text = (value: string): string => `X${String.fromCharCode(...u32(value.length))}${value}`;
export const tuple = (...items: string[]): string => `(${items.join("")}t`;
export const global = (name: string): string => {
  const dot = name.lastIndexOf(".");
  return `c${name.slice(0, dot)}\n${name.slice(dot + 1)}\n`;
};
export const dict = (...pairs: (readonly [string, string])[]): string =>
  `}(${pairs.map(([key, value]) => text(key) + value).join("")}u`;

export interface StorageSpec {
  readonly key: string;
  readonly type?: string;
  /** Opcodes of the element count. */
  readonly count: string;
  readonly view?: string;
  readonly items?: 5 | 6;
}

export function storage({ key, type = "torch.FloatStorage", count, view = "N", items = 6 }: StorageSpec): string {
  const id = [text("storage"), global(type), text(key), text("cpu"), count];
  return `${tuple(...id, ...(items === 6 ? [view] : []))}Q`;
}

/** _rebuild_tensor_v2; numbers are opcodes. */
export function tensor(
  spec: StorageSpec,
  offset: string,
  shape: readonly string[],
  strides: readonly string[],
): string {
  const hooks = `${global("collections.OrderedDict")})R`;
  return `${global("torch._utils._rebuild_tensor_v2")}${tuple(storage(spec), offset, tuple(...shape), tuple(...strides), "\x89", hooks)}R`;
}

/** A vector over a whole storage of `count` f32. */
export const vector = (key: string, count: number, items: 5 | 6 = 6): string =>
  tensor({ key, count: int(count), items }, int(0), [int(count)], [int(1)]);

export const pickle = (body: string): Uint8Array => latin1(`\x80\x02${body}.`);

const MAGIC = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

export type LegacyStorage = readonly [key: string, count: number, bytes: Uint8Array];

export interface LegacyChanges {
  readonly keys?: readonly string[];
  readonly version?: number;
  readonly littleEndian?: boolean;
}

/** The legacy container around an object. Storages are in file order. */
export function legacy(object: string, storages: readonly LegacyStorage[], changes: LegacyChanges = {}): Uint8Array {
  return legacyOf(pickle(object), storages, changes);
}

/** The legacy container around the bytes of the object's pickle. */
export function legacyOf(
  object: Uint8Array,
  storages: readonly LegacyStorage[],
  changes: LegacyChanges = {},
): Uint8Array {
  const endian = changes.littleEndian === false ? "\x89" : "\x88";
  const keys = changes.keys ?? storages.map(([key]) => key);
  return concat([
    pickle(MAGIC),
    pickle(int(changes.version ?? 1001)),
    pickle(dict(["protocol_version", int(1001)], ["little_endian", endian])),
    object,
    pickle(`](${keys.map(text).join("")}e`),
    ...storages.flatMap(([, count, bytes]) => [u64(count), bytes]),
  ]);
}

/** The zip container around an object. */
export function torchZip(
  object: string,
  storages: readonly (readonly [string, Uint8Array])[],
  wide = false,
): Uint8Array {
  const files = [
    { name: "archive/data.pkl", data: pickle(object) },
    { name: "archive/byteorder", data: latin1("little") },
    ...storages.map(([key, data]) => ({ name: `archive/data/${key}`, data, padding: 12 })),
    { name: "archive/version", data: latin1("3\n") },
    { name: "archive/.data/serialization_id", data: latin1("0123456789") },
  ];
  return zip(files, wide);
}

/** Bytes of f32 values. */
export const floats = (...values: number[]): Uint8Array => new Uint8Array(new Float32Array(values).buffer);
