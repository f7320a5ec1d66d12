// Codes as bytes: packing, rANS, and the model behind it.
import { describe, expect, it } from "vitest";
import { chunkWords, decodeChunk, encodeChunk, packChunk } from "../../src/store/codec.ts";
import { crc32c } from "../../src/store/crc32c.ts";
import { bitsOf, type Codes } from "../../src/store/description.ts";
import { CODEC } from "../../src/store/layout.ts";
import { SQUASH, STRETCH } from "../../src/store/model.ts";
import { ONE, RansDecoder, RansEncoder } from "../../src/store/rans.ts";
import { codesTrack, madeCodes, randomInts, sameCodes } from "./made.ts";

const vq = (size: number) => ({ kind: "vq", size, dim: 8 }) as const;
const fsq = (...levels: number[]) => {
  const size = levels.reduce((all, level) => all * level, 1);
  return { kind: "fsq", size, levels, dim: levels.length } as const;
};
const bytesOf = (codes: Codes) => new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength);

describe("crc32c", () => {
  it("has the check value of the Castagnoli polynomial, whole and in parts", () => {
    const digits = new TextEncoder().encode("123456789");
    expect(crc32c(digits)).toBe(0xe3069283); // RFC 3720, B.4, and every catalogue of CRCs
    expect(crc32c(digits.subarray(5), crc32c(digits.subarray(0, 5)))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa); // RFC 3720: 32 bytes of zeros
  });
});

describe("packed chunks", () => {
  it("hold every width from 1 to 18 bits, least significant bit first", () => {
    for (let bits = 1; bits <= 18; bits++) {
      const track = codesTrack({ codebooks: [vq(2 ** bits)] });
      const codes = madeCodes(track, 5, bits, 0);
      const words = packChunk(track, codes);
      expect(words.length).toBe(Math.ceil((75 * bits) / 32));
      // The definition: bit i of the stream is bit i % bits of code i / bits, and bit i % 32 of word i / 32.
      for (let i = 0; i < 75 * bits; i++) {
        const inCode = (codes[Math.floor(i / bits)]! >> (i % bits)) & 1;
        expect((words[i >> 5]! >>> (i & 31)) & 1, `${bits} bits, bit ${i}`).toBe(inCode);
      }
      const { codec, payload } = encodeChunk(track, codes, "packed");
      expect([codec, payload.byteLength]).toEqual([CODEC.packed, 4 * words.length]);
      expect(sameCodes(decodeChunk(track, codec, payload, 5)!, codes)).toBe(true);
    }
  });

  it("keep codebooks apart, each plane from a whole word", () => {
    const track = codesTrack({ codebooks: [vq(256), vq(512)] });
    const codes = madeCodes(track, 3, 4);
    const words = packChunk(track, codes);
    expect(words.length).toBe(Math.ceil((45 * 8) / 32) + Math.ceil((45 * 9) / 32));
    expect(words[0]! & 255).toBe(codes[0]);
    expect(words[12]! & 511).toBe(codes[15]); // the second codebook's first code
    expect((words[3]! >>> 24) & 255).toBe(codes[30]); // its 16th code is the second step's first
    expect(sameCodes(decodeChunk(track, CODEC.packed, bytesOf(words), 3)!, codes)).toBe(true);
  });

  it("refuse bytes of another length and codes beyond the codebook", () => {
    const track = codesTrack({ codebooks: [vq(200)] });
    const { payload } = encodeChunk(track, madeCodes(track, 4, 2), "packed");
    expect(decodeChunk(track, CODEC.packed, payload.subarray(4), 4)).toBeNull();
    expect(decodeChunk(track, CODEC.packed, payload, 5)).toBeNull();
    expect(
      decodeChunk(
        track,
        CODEC.packed,
        payload.map(() => 255),
        4,
      ),
    ).toBeNull();
    expect(decodeChunk(track, 7, payload, 4)).toBeNull();
  });
});

describe("binary rANS", () => {
  it("takes what the probabilities say, to a part in a thousand", () => {
    const random = randomInts(3);
    const decisions = Array.from({ length: 40000 }, () => {
      const p = 1 + random(ONE - 1);
      return { p, bit: random(ONE) < p ? 1 : 0 };
    });
    const encoder = new RansEncoder();
    let ideal = 0;
    for (const { p, bit } of decisions) {
      encoder.code(p, bit);
      ideal -= Math.log2((bit ? p : ONE - p) / ONE);
    }
    const bytes = encoder.finish();
    expect(8 * bytes.length).toBeGreaterThan(ideal);
    expect(8 * bytes.length).toBeLessThan(1.001 * ideal + 40);
    const decoder = new RansDecoder(bytes);
    for (const { p, bit } of decisions) expect(decoder.code(p, 1 - bit)).toBe(bit);
    expect(decoder.ended).toBe(true);
  });
});

describe("rANS chunks", () => {
  it.each([
    ["two codes", [vq(2)], [3, 5], 7],
    ["200 codes", [vq(200)], [7, 3], 9],
    ["2^18 codes", [vq(2 ** 18)], [6, 5], 4],
    ["levels", [fsq(8, 5, 3)], [5, 9], 6],
    ["64000 of levels", [fsq(8, 8, 8, 5, 5, 5)], [4, 4], 11],
    ["three codebooks", [vq(300), fsq(4, 4), vq(5)], [3, 4], 8],
    ["one row", [vq(16)], [1, 9], 5],
    ["one column", [vq(16)], [9, 1], 5],
    ["one site and step", [vq(16)], [1, 1], 1],
  ] as const)("give back %s", (_name, codebooks, grid, steps) => {
    const track = codesTrack({ codebooks, grid });
    for (const [seed, stay] of [1, 0.98, 0.5, 0].entries()) {
      const codes = madeCodes(track, steps, 40 + seed, stay);
      const before = codes.slice();
      const { codec, payload } = encodeChunk(track, codes, "rans");
      expect(sameCodes(codes, before)).toBe(true);
      const back = decodeChunk(track, codec, payload, steps)!;
      expect(back.constructor).toBe(codes.constructor);
      expect(sameCodes(back, codes)).toBe(true);
    }
  });

  it("fall back to packed where codes are noise", () => {
    const track = codesTrack({ codebooks: [vq(256)], grid: [16, 16] });
    const { codec, payload } = encodeChunk(track, madeCodes(track, 4, 8, 0), "rans");
    expect([codec, payload.byteLength]).toEqual([CODEC.packed, 1024]);
  });

  it("come within 5 % of the entropy of a source that the model can learn", () => {
    // Every site stays with probability 0.9, else draws evenly from 16 codes: per later code H(0.90625) + 0.09375 log2 15.
    const track = codesTrack({ codebooks: [vq(16)], grid: [32, 32] });
    const steps = 100;
    const codes = madeCodes(track, steps, 12, 0.9);
    const same = 0.9 + 0.1 / 16;
    const later = -same * Math.log2(same) - (1 - same) * Math.log2((1 - same) / 15);
    const entropy = 1024 * (4 + (steps - 1) * later);
    const { codec, payload } = encodeChunk(track, codes, "rans");
    expect(codec).toBe(CODEC.rans);
    // The sample's own share of stays differs from 0.90625 by less than 0.1 %.
    expect(8 * payload.byteLength).toBeGreaterThan(0.98 * entropy);
    expect(8 * payload.byteLength).toBeLessThan(1.05 * entropy);
  });

  it("learn what is left, above and before: a picture that moves", () => {
    // Columns of one code each, moved by one column a step: each code is the one on its left a step ago.
    const track = codesTrack({ codebooks: [vq(256)], grid: [16, 32] });
    const codes = new Uint8Array(25 * 512);
    for (let i = 0; i < codes.length; i++) codes[i] = (((i % 32) - Math.floor(i / 512) + 64) % 32) * 7;
    const { payload } = encodeChunk(track, codes, "rans");
    expect((8 * payload.byteLength) / codes.length).toBeLessThan(0.6); // of 8
  });

  it("are the same bytes everywhere: the model is part of the format", () => {
    const tracks = [
      codesTrack({ codebooks: [vq(256)], grid: [32, 32] }),
      codesTrack({ codebooks: [vq(2048)], grid: [16, 8] }),
      codesTrack({ codebooks: [fsq(8, 8, 8, 5, 5, 5)], grid: [9, 7] }),
    ];
    const sums = tracks.map((track) => {
      const { codec, payload } = encodeChunk(track, madeCodes(track, 25, 77, 0.8), "rans");
      return [codec, payload.byteLength, crc32c(payload)];
    });
    expect(sums).toEqual([
      [CODEC.rans, 8362, 3089065470],
      [CODEC.rans, 1363, 1335647637],
      [CODEC.rans, 961, 3170260047],
    ]);
  });

  it("rest on tables that every machine computes alike: no entry is near a tie of its rounding", () => {
    // Math.log and Math.exp may differ by a few units of the last place, 1e-12 here; ties are over 1e-6 away.
    const tie = (value: number) => Math.abs(value - Math.floor(value) - 0.5);
    for (let i = 0; i < 4096; i++) {
      const [stretch, squash] = [256 * Math.log((i + 0.5) / (4095.5 - i)), ONE / (1 + Math.exp((2048 - i) / 256))];
      expect(tie(squash), `squash ${i}`).toBeGreaterThan(1e-6);
      expect(tie(stretch), `stretch ${i}`).toBeGreaterThan(1e-6);
      expect(SQUASH[i]).toBeGreaterThan(0);
      expect(SQUASH[i]).toBeLessThan(ONE);
      expect(Math.abs(STRETCH[i]!)).toBeLessThan(2048);
    }
    expect([crc32c(bytes16(STRETCH)), crc32c(bytes16(SQUASH))]).toEqual([162170489, 654279800]);
  });

  it("refuse bytes that were never encoded, without an error", () => {
    const track = codesTrack({ codebooks: [vq(200)], grid: [8, 8] });
    const { payload } = encodeChunk(track, madeCodes(track, 25, 6, 0.9), "rans");
    expect(decodeChunk(track, CODEC.rans, payload.subarray(0, 3), 25)).toBeNull();
    expect(decodeChunk(track, CODEC.rans, payload.subarray(0, payload.length - 1), 25)).toBeNull();
    expect(decodeChunk(track, CODEC.rans, payload, 24)).toBeNull();
    expect(decodeChunk(track, CODEC.rans, payload, 2 ** 31)).toBeNull();
    const random = randomInts(2);
    for (let trial = 0; trial < 50; trial++) {
      const noise = Uint8Array.from({ length: random(400) }, () => random(256));
      expect(decodeChunk(track, CODEC.rans, noise, 25)).toBeNull();
    }
  });
});

const bytes16 = (table: Int16Array) => new Uint8Array(table.buffer);

it("a code's bits are those of the largest", () => {
  expect([2, 3, 4, 200, 256, 257, 2048, 2 ** 18].map((size) => bitsOf(vq(size)))).toEqual([1, 2, 2, 8, 8, 9, 11, 18]);
  expect(chunkWords(codesTrack({ codebooks: [vq(8)], grid: [4, 8] }), 5)).toBe(15); // 32 codes of n bits are n words
});
