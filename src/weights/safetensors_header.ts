/**
 * The JSON header of a safetensors file, read by a scanner that knows the schema. `JSON.parse` of the whole header
 * would keep the last of two equal keys in silence, which lets two readers see two different files.
 */
import { fail } from "../core/fail.ts";
import type { DType } from "./dtype.ts";
import { byteLengthOf, elementCount, isDType } from "./dtype.ts";
import { timeSlice } from "./time_slice.ts";

export interface HeaderEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Byte range in the data section. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  readonly entries: ReadonlyMap<string, HeaderEntry>;
  /** Bytes of the data section that the entries cover. */
  readonly dataLength: number;
}

/** More tensors, and more metadata, than any published model by far; bounds what a hostile header can ask for. */
const MAX_TENSORS = 100_000;
const MAX_METADATA = 100_000;
const MAX_STRING = 1 << 24;

/**
 * Parses and checks a header: known dtypes, sizes that equal shape x dtype, offsets that cover the data section without
 * hole or overlap, no key twice. Throws "bad-file" with the position in the header.
 */
export async function parseSafetensorsHeader(text: string, file: string): Promise<SafetensorsHeader> {
  const scanner = new Scanner(text, file);
  const entries = new Map<string, HeaderEntry>();
  let metadata: ReadonlyMap<string, string> | null = null;
  const pause = timeSlice();
  scanner.expect("{");
  if (!scanner.take("}")) {
    do {
      const name = scanner.string();
      scanner.expect(":");
      if (name === "__metadata__") {
        if (metadata) scanner.wrong("__metadata__ appears twice");
        metadata = scanMetadata(scanner);
      } else {
        if (entries.has(name)) scanner.wrong(`tensor ${show(name)} appears twice`);
        if (entries.size >= MAX_TENSORS) scanner.wrong(`more than ${MAX_TENSORS} tensors`);
        entries.set(name, scanEntry(scanner, name));
      }
      await pause();
    } while (scanner.take(","));
    scanner.expect("}");
  }
  scanner.end();
  return { metadata: metadata ?? new Map(), entries, dataLength: coveredLength(entries, file) };
}

/** The header's text. Apart from parsing, so that the bytes are free before the parse. */
export function decodeHeader(bytes: Uint8Array, file: string): string {
  if (bytes[0] !== 0x7b) fail("bad-file", `${file}: the safetensors header does not start with {; the file is damaged`);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fail("bad-file", `${file}: the safetensors header is not UTF-8; the file is damaged, download it again`);
  }
}

function scanMetadata(scanner: Scanner): Map<string, string> {
  const metadata = new Map<string, string>();
  scanner.expect("{");
  if (scanner.take("}")) return metadata;
  do {
    const key = scanner.string();
    if (metadata.size >= MAX_METADATA) scanner.wrong(`more than ${MAX_METADATA} metadata entries`);
    if (metadata.has(key)) scanner.wrong(`metadata key ${show(key)} appears twice`);
    scanner.expect(":");
    metadata.set(key, scanner.string());
  } while (scanner.take(","));
  scanner.expect("}");
  return metadata;
}

function scanEntry(scanner: Scanner, name: string): HeaderEntry {
  let dtype: string | null = null;
  let shape: number[] | null = null;
  let offsets: number[] | null = null;
  scanner.expect("{");
  do {
    const field = scanner.string();
    scanner.expect(":");
    if (field === "dtype" && dtype === null) dtype = scanner.string();
    else if (field === "shape" && shape === null) shape = scanner.integers();
    else if (field === "data_offsets" && offsets === null) offsets = scanner.integers();
    else scanner.wrong(`tensor ${show(name)} has an unknown or repeated field ${show(field)}`);
  } while (scanner.take(","));
  scanner.expect("}");
  if (dtype === null || shape === null || offsets === null) {
    return scanner.wrong(`tensor ${show(name)} lacks dtype, shape or data_offsets`);
  }
  if (!isDType(dtype)) return scanner.wrong(`tensor ${show(name)} has the unknown dtype ${show(dtype)}`);
  const count = elementCount(shape);
  const size = count === null ? null : byteLengthOf(dtype, count);
  if (size === null) return scanner.wrong(`tensor ${show(name)} has an impossible shape [${shape.slice(0, 12)}]`);
  const [begin, end] = offsets;
  if (offsets.length !== 2 || end! - begin! !== size) {
    return scanner.wrong(`tensor ${show(name)} needs ${size} bytes and has data_offsets [${offsets.slice(0, 3)}]`);
  }
  return { dtype, shape, begin: begin!, end: end! };
}

/** Checks that the entries tile [0, end) and returns the end. */
function coveredLength(entries: ReadonlyMap<string, HeaderEntry>, file: string): number {
  const sorted = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const [name, { begin, end }] of sorted) {
    if (begin !== at) {
      const what = begin < at ? "overlaps the tensor before it" : "leaves a hole before it";
      fail("bad-file", `${file}: tensor ${show(name)} ${what} (begins at ${begin}, expected ${at}); refuse the file`, {
        tensor: name,
        begin,
        expected: at,
      });
    }
    at = end;
  }
  return at;
}

/** A name from a file, quoted and cut so that a message stays one short line. */
export function show(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 77)}...` : name);
}

class Scanner {
  private readonly text: string;
  private readonly file: string;
  private at = 0;
  constructor(text: string, file: string) {
    this.text = text;
    this.file = file;
  }

  wrong(what: string): never {
    return fail(
      "bad-file",
      `${this.file}: safetensors header, character ${this.at}: ${what}; the file is damaged or hostile`,
      {
        position: this.at,
      },
    );
  }

  private skipSpace(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.at++;
    }
  }

  /** Consumes the character if it is next. */
  take(character: string): boolean {
    this.skipSpace();
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  expect(character: string): void {
    if (!this.take(character)) this.wrong(`expected ${character}, found ${show(this.text[this.at] ?? "the end")}`);
  }

  end(): void {
    this.skipSpace();
    if (this.at !== this.text.length) this.wrong("text after the closing brace");
  }

  string(): string {
    this.expect('"');
    const start = this.at;
    let close = start - 1;
    let slashes = 1;
    while (slashes % 2 === 1) {
      close = this.text.indexOf('"', close + 1);
      if (close < 0) return this.wrong("a string without end");
      slashes = 0;
      while (close - 1 - slashes >= start && this.text[close - 1 - slashes] === "\\") slashes++;
    }
    if (close - start > MAX_STRING) this.wrong(`a string of ${close - start} characters`);
    this.at = close + 1;
    try {
      return JSON.parse(this.text.slice(start - 1, close + 1)) as string;
    } catch {
      return this.wrong("a string with a bad escape or a control character");
    }
  }

  /** An array of non-negative integers written as plain digits. */
  integers(): number[] {
    const values: number[] = [];
    this.expect("[");
    if (this.take("]")) return values;
    do {
      this.skipSpace();
      const start = this.at;
      while (this.text.charCodeAt(this.at) >= 0x30 && this.text.charCodeAt(this.at) <= 0x39) this.at++;
      const digits = this.text.slice(start, Math.min(this.at, start + 20));
      const value = Number(digits);
      if (!/^(0|[1-9]\d{0,15})$/.test(digits) || value > Number.MAX_SAFE_INTEGER) {
        this.wrong("expected a non-negative whole number below 2^53");
      }
      if (values.length >= 64) this.wrong("an array of more than 64 numbers");
      values.push(value);
    } while (this.take(","));
    this.expect("]");
    return values;
  }
}
