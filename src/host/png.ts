// Pictures as PNG files (ISO/IEC 15948), for looking at what an auto-encoder gives and for giving it one.
import { deflateSync, inflateSync } from "node:zlib";
import { fail } from "../core/fail.ts";
import { crc32 } from "../weights/crc32.ts";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** Samples of a pixel by colour type: grey, RGB, grey and alpha, RGB and alpha. */
const SAMPLES: Readonly<Record<number, number>> = { 0: 1, 2: 3, 4: 2, 6: 4 };
const LARGEST_SIDE = 16384;

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** R, G, B of each pixel, row by row. */
  readonly rgb: Uint8Array;
}

/** A PNG file of 8-bit RGB. */
export function writePng({ width, height, rgb }: Picture): Uint8Array {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 2], 8);
  const row = 3 * width;
  const lines = new Uint8Array(height * (row + 1)); // each behind its filter's number, 0: none
  for (let y = 0; y < height; y++) lines.set(rgb.subarray(y * row, (y + 1) * row), y * (row + 1) + 1);
  const parts = [chunk("IHDR", header), chunk("IDAT", deflateSync(lines)), chunk("IEND", new Uint8Array(0))];
  return Buffer.concat([Uint8Array.from(SIGNATURE), ...parts]);
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(Buffer.from(type, "latin1"), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

/**
 * A PNG file of 8 bits a sample as RGB; what is transparent keeps its colour. @throws "bad-file" for a damaged file, "unsupported" for
 * palettes, other depths and interlacing
 */
export function readPng(bytes: Uint8Array, name: string): Picture {
  const damaged = (what: string): never => fail("bad-file", `${name}: ${what}; write the picture again`);
  if (SIGNATURE.some((byte, i) => bytes[i] !== byte)) damaged("is no PNG file");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data: Uint8Array[] = [];
  let header: DataView | null = null;
  for (let at = 8; ; ) {
    if (at + 12 > bytes.length) damaged("the PNG file is cut off");
    const length = view.getUint32(at);
    const type = Buffer.from(bytes.subarray(at + 4, at + 8)).toString("latin1");
    if (at + 12 + length > bytes.length) damaged("the PNG file is cut off");
    if (crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length))
      damaged(`the checksum of ${JSON.stringify(type)} is wrong`);
    if (type === "IHDR" && length === 13) header = new DataView(bytes.buffer, bytes.byteOffset + at + 8, 13);
    if (type === "IDAT") data.push(bytes.subarray(at + 8, at + 8 + length));
    if (type === "IEND") break;
    at += 12 + length;
  }
  if (!header) return damaged("the PNG file has no header");
  const [width, height] = [header.getUint32(0), header.getUint32(4)];
  const samples = SAMPLES[header.getUint8(9)];
  if (header.getUint8(8) !== 8 || !samples || header.getUint8(12) !== 0)
    fail(
      "unsupported",
      `${name}: a PNG of ${header.getUint8(8)} bits, colour type ${header.getUint8(9)}${header.getUint8(12) ? ", interlaced" : ""}; save it as plain 8-bit RGB`,
    );
  if (width < 1 || height < 1 || width > LARGEST_SIDE || height > LARGEST_SIDE)
    damaged(`a picture of ${width}x${height} pixels`);
  const row = samples * width;
  const size = height * (row + 1);
  let lines: Uint8Array;
  try {
    lines = inflateSync(Buffer.concat(data), { maxOutputLength: size });
  } catch {
    return damaged("its compressed pixels are damaged");
  }
  if (lines.length !== size) damaged("it has too few pixels");
  const plain = unfilter(lines, row, height, samples) ?? damaged("a line has an unknown filter");
  const rgb = new Uint8Array(3 * width * height);
  const colours = samples >= 3 ? [0, 1, 2] : [0, 0, 0];
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = plain[i * samples + colours[c]!]!;
  return { width, height, rgb };
}

/** Lines behind their filters' numbers -> samples; null for a filter that there is not. */
function unfilter(lines: Uint8Array, row: number, height: number, samples: number): Uint8Array | null {
  const out = new Uint8Array(row * height);
  for (let y = 0; y < height; y++) {
    const filter = lines[y * (row + 1)]!;
    if (filter > 4) return null;
    for (let x = 0; x < row; x++) {
      const at = y * row + x;
      const left = x >= samples ? out[at - samples]! : 0;
      const up = y > 0 ? out[at - row]! : 0;
      const corner = x >= samples && y > 0 ? out[at - row - samples]! : 0;
      const predicted = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter]!;
      out[at] = lines[y * (row + 1) + 1 + x]! + predicted;
    }
  }
  return out;
}

/** The neighbour that is nearest to left + up - corner. */
function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
