// PNG files: what is written opens again, every line filter is undone, and damage is one line.
import { deflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type Picture, readPng, writePng } from "../../src/host/png.ts";
import { crc32 } from "../../src/weights/crc32.ts";
import { Random } from "../cases/random.ts";

const random = new Random(3);
const bytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, () => random.below(256));
const picture = (width: number, height: number): Picture => ({ width, height, rgb: bytes(3 * width * height) });

/** A file with a header and lines of its own; `change` may spoil it. */
function file(header: readonly number[], lines: Uint8Array): Uint8Array {
  const chunk = (type: string, data: Uint8Array) => {
    const out = Buffer.alloc(12 + data.length);
    out.writeUInt32BE(data.length, 0);
    out.write(type, 4, "latin1");
    out.set(data, 8);
    out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
    return out;
  };
  const compressed = deflateSync(lines);
  const parts = [compressed.subarray(0, 7), compressed.subarray(7)]; // more than one IDAT
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const chunks = [["IHDR", Uint8Array.from(header)], ["tEXt", bytes(5)], ...parts.map((part) => ["IDAT", part])];
  return Buffer.concat([
    signature,
    ...chunks.map(([type, data]) => chunk(type as string, data as Uint8Array)),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

const header = (width: number, height: number, type: number, depth = 8, interlaced = 0) => [
  ...[0, 0, width >> 8, width & 255, 0, 0, height >> 8, height & 255],
  ...[depth, type, 0, 0, interlaced],
];

/** Lines of samples, each with the filter of its number modulo 5, as PNG's specification defines them (9.2). */
function filtered(samples: Uint8Array, row: number, pixel: number): Uint8Array {
  const height = samples.length / row;
  const out = new Uint8Array(height * (row + 1));
  const at = (y: number, x: number) => (y < 0 || x < 0 ? 0 : samples[y * row + x]!);
  for (let y = 0; y < height; y++) {
    out[y * (row + 1)] = y % 5;
    for (let x = 0; x < row; x++) {
      const [a, b, c] = [at(y, x - pixel), at(y - 1, x), x < pixel ? 0 : at(y - 1, x - pixel)];
      const nearest = [a, b, c].reduce((best, v) => (Math.abs(a + b - c - v) < Math.abs(a + b - c - best) ? v : best));
      const guess = [0, a, b, Math.floor((a + b) / 2), nearest][y % 5]!;
      out[y * (row + 1) + 1 + x] = at(y, x) - guess;
    }
  }
  return out;
}

describe("PNG", () => {
  it("opens what it wrote", () => {
    for (const [width, height] of [
      [1, 1],
      [5, 3],
      [70, 9],
    ] as const) {
      const given = picture(width, height);
      expect(readPng(writePng(given), "a.png")).toEqual(given);
    }
  });

  it("undoes every filter, for every kind of pixel", () => {
    const [width, height] = [6, 11];
    for (const [type, samples] of [
      [0, 1],
      [2, 3],
      [4, 2],
      [6, 4],
    ] as const) {
      const plain = bytes(width * height * samples);
      const got = readPng(file(header(width, height, type), filtered(plain, width * samples, samples)), "a.png");
      const want = Uint8Array.from({ length: 3 * width * height }, (_, i) => {
        const pixel = Math.floor(i / 3) * samples;
        return plain[pixel + (samples >= 3 ? i % 3 : 0)]!;
      });
      expect([got.width, got.height, got.rgb]).toEqual([width, height, want]);
    }
  });

  it("refuses what it cannot read in one line that names the file", () => {
    const whole = writePng(picture(4, 3));
    const spoiled = Uint8Array.from(whole);
    spoiled[50]! ^= 1;
    const lines = new Uint8Array(4 * 3 * 3 + 3);
    for (const [given, message] of [
      [new Uint8Array(20), "is no PNG file"],
      [whole.subarray(0, 45), "the PNG file is cut off"],
      [whole.subarray(0, whole.length - 12), "the PNG file is cut off"],
      [spoiled, "the checksum of"],
      [file(header(4, 3, 3), lines), "a PNG of 8 bits, colour type 3; save it as plain 8-bit RGB"],
      [file(header(4, 3, 2, 16), lines), "a PNG of 16 bits, colour type 2; save it"],
      [file(header(4, 3, 2, 8, 1), lines), "colour type 2, interlaced; save it"],
      [file(header(4, 4, 2), lines), "it has too few pixels"],
      [file(header(4, 2, 2), lines), "its compressed pixels are damaged"],
      [
        file(
          header(4, 3, 2),
          lines.map((_, i) => (i % 13 === 0 ? 9 : 0)),
        ),
        "a line has an unknown filter",
      ],
      [file(header(0, 3, 2), lines), "a picture of 0x3 pixels"],
    ] as const) {
      const read = () => readPng(given, "a.png");
      expect(read).toThrow(message);
      expect(read).toThrow(/^a\.png: .+$/);
    }
  });
});
