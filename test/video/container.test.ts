import { describe, expect, it } from "vitest";
import { declaredSize, unreadable } from "../../src/video/container.ts";

const text = (value: string) => [...value].map((character) => character.charCodeAt(0));
const u32 = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
const box = (size: number, type: string, ...body: number[]) => [...u32(size), ...text(type), ...body];
const ftyp = box(24, "ftyp", ...text("isom"), ...u32(512), ...text("mp41"), ...text("iso2"));

describe("the size a file declares", () => {
  it("is the end of the last box whose start is in reach", () => {
    expect(declaredSize(Uint8Array.from([...ftyp, ...box(5000, "mdat"), ...Array(90).fill(7)]))).toBe(24 + 5000);
    const both = [...ftyp, ...box(16, "free", ...Array(8).fill(0)), ...box(70, "moov"), ...Array(62).fill(1)];
    expect(declaredSize(Uint8Array.from([...both, ...box(900, "mdat"), ...Array(16).fill(0)]))).toBe(110 + 900);
  });

  it("follows a 64-bit box and stops at one that runs to the end", () => {
    const large = [...u32(1), ...text("mdat"), ...u32(2), ...u32(16)]; // 2 * 2^32 + 16
    expect(declaredSize(Uint8Array.from([...ftyp, ...large, ...Array(40).fill(0)]))).toBe(24 + 2 * 2 ** 32 + 16);
    expect(declaredSize(Uint8Array.from([...ftyp, ...box(0, "mdat"), ...Array(40).fill(0)]))).toBe(24);
  });

  const ebml = [...u32(0x1a45dfa3), 0x84, 1, 2, 3, 4]; // a header of four bytes
  const segment = (...size: number[]) => [...ebml, ...u32(0x18538067), ...size, ...Array(20).fill(0)];

  it("is the end of Matroska's segment, whatever the length of its integer", () => {
    expect(declaredSize(Uint8Array.from(segment(0x85)))).toBe(9 + 4 + 1 + 5);
    expect(declaredSize(Uint8Array.from(segment(0x41, 0x02)))).toBe(9 + 4 + 2 + 258);
    expect(declaredSize(Uint8Array.from(segment(0x01, 0, 0, 0, 0, 1, 0, 0)))).toBe(9 + 4 + 8 + 65536);
  });

  it("is unknown for a live recording and for other bytes", () => {
    expect(declaredSize(Uint8Array.from(segment(0x01, 255, 255, 255, 255, 255, 255, 255)))).toBe(0);
    expect(declaredSize(Uint8Array.from(segment(0xff)))).toBe(0);
    expect(declaredSize(Uint8Array.from(text("RIFF....AVI and more than twelve bytes")))).toBe(0);
    expect(declaredSize(new Uint8Array(0))).toBe(0);
  });

  it("reads no byte that is not there, wherever the start is cut", () => {
    const files = [[...ftyp, ...box(5000, "mdat"), ...Array(20).fill(7)], segment(0x01, 0, 0, 0, 0, 1, 0, 0)];
    for (const file of files)
      for (let length = 0; length <= file.length; length++)
        expect(Number.isSafeInteger(declaredSize(Uint8Array.from(file.slice(0, length))))).toBe(true);
  });
});

describe("what unreadable bytes are", () => {
  it.each([
    ["", /is empty/],
    ["\n <!DOCTYPE html><html>", /web page/],
    ["<HTML>", /web page/],
    ["version https://git-lfs.github.com/spec/v1\n", /git lfs pull/],
    ["\u0001\u0002\u0003", /not a video that can be read/],
  ])("%j", (start, expected) => {
    expect(unreadable(Uint8Array.from(text(start)))).toMatch(expected);
  });
});
