import { describe, expect, it } from "vitest";
import { fileSource } from "../../src/host/file_source.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { writeSafetensors } from "../../src/weights/safetensors.ts";
import { concat, latin1, u64 } from "./support/bytes.ts";
import { counting, dataFile, hasData } from "./support/data.ts";
import { expectError, openBytes } from "./support/expect_error.ts";

/** A file from a header text and a number of data bytes. */
function file(
  header: string,
  dataBytes = 0,
  headerBytes: bigint | number = new TextEncoder().encode(header).length,
): Uint8Array {
  return concat([u64(headerBytes), new TextEncoder().encode(header), new Uint8Array(dataBytes).map((_, i) => i)]);
}

const entry = (name: string, dtype: string, shape: string, begin: number | string, end: number | string): string =>
  `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${end}]}`;

describe("safetensors writer and reader", () => {
  it("round-trips names, shapes, bytes and metadata", async () => {
    const tensors = {
      odd: { dtype: "U8", shape: [3], data: new Uint8Array([1, 2, 3]) },
      "w.weight": { dtype: "F32", shape: [2, 1, 3], data: new Float32Array([1, -2, 3.5, 4, 5, 6]) },
      scalar: { dtype: "I64", shape: [], data: new BigInt64Array([-7n]) },
      empty: { dtype: "F16", shape: [0, 4], data: new Uint16Array(0) },
      'naïve "key"\n': { dtype: "F64", shape: [1], data: new Float64Array([Math.PI]) },
    } as const;
    const bytes = writeSafetensors(tensors, { made: 'by "test"', __proto__x: "y" });
    const back = await openBytes(bytes);
    expect(back.container).toBe("safetensors");
    expect(back.missingBytes).toBe(0);
    expect({ ...back.metadata }).toEqual({ made: 'by "test"', __proto__x: "y" });
    expect(new Set(back.tensors.keys())).toEqual(new Set(Object.keys(tensors)));
    for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
      expect(back.tensors.get(name)).toMatchObject({ dtype, shape, byteLength: data.byteLength, present: true });
      expect(await back.read(name)).toEqual(new Uint8Array(data.buffer));
    }
    expect(await back.readF32("w.weight")).toEqual(tensors["w.weight"].data);
    expect(await back.readF32('naïve "key"\n')).toEqual(new Float32Array([Math.PI]));
    expect(back.tensors.get("w.weight")!.offset! % 4).toBe(0);
  });

  it("keeps a tensor and a metadata key named __proto__", async () => {
    const header = `{"__metadata__":{"__proto__":"m"},${entry("__proto__", "U8", "2", 0, 2)},${entry("constructor", "U8", "1", 2, 3)}}`;
    const back = await openBytes(file(header, 3));
    expect([...back.tensors.keys()]).toEqual(["__proto__", "constructor"]);
    expect(Object.entries(back.metadata)).toEqual([["__proto__", "m"]]);
    expect(await back.read("constructor")).toEqual(new Uint8Array([2]));
    const own = Object.fromEntries([["__proto__", { dtype: "U8" as const, shape: [1], data: new Uint8Array([9]) }]]);
    expect(await (await openBytes(writeSafetensors(own))).read("__proto__")).toEqual(new Uint8Array([9]));
  });

  it("knows the size of every dtype", async () => {
    const sizes = { BOOL: 6, F4: 3, U8: 6, I8: 6, F8_E5M2: 6, F8_E4M3: 6, F8_E8M0: 6, F8_E4M3FNUZ: 6, F8_E5M2FNUZ: 6 };
    const wide = { I16: 12, U16: 12, F16: 12, BF16: 12, I32: 24, U32: 24, F32: 24, C64: 48, F64: 48, I64: 48, U64: 48 };
    for (const [dtype, bytes] of Object.entries({ ...sizes, ...wide })) {
      const back = await openBytes(file(`{${entry("t", dtype, "2,3", 0, bytes)}}`, bytes));
      expect(back.tensors.get("t")).toMatchObject({ dtype, byteLength: bytes });
    }
    const sixBit = await openBytes(file(`{${entry("t", "F6_E2M3", "4", 0, 3)}}`, 3));
    expect(sixBit.tensors.get("t")!.byteLength).toBe(3);
    await expectError(openBytes(file(`{${entry("t", "F6_E3M2", "3", 0, 3)}}`, 3)), "bad-file", /impossible shape/);
    await expectError(openBytes(file(`{${entry("t", "F4", "3", 0, 2)}}`, 2)), "bad-file", /impossible shape/);
  });

  it("converts F16, BF16, F64 and misaligned F32 exactly", async () => {
    const half = new Uint16Array([0x3c00, 0xc100, 0x7bff, 0x0001, 0x8000, 0x7c00, 0x03ff]);
    const brain = new Uint16Array([0x3f80, 0xc020, 0x7f7f, 0x0001]);
    const bytes = concat([
      new Uint8Array([7]),
      new Uint8Array(half.buffer),
      new Uint8Array(brain.buffer),
      new Uint8Array(new Float32Array([0.1]).buffer),
    ]);
    const header = `{${entry("u", "U8", "1", 0, 1)},${entry("h", "F16", "7", 1, 15)},${entry("b", "BF16", "4", 15, 23)},${entry("f", "F32", "1", 23, 27)}} `;
    const back = await openBytes(concat([u64(header.length), latin1(header), bytes]));
    expect([...(await back.readF32("h"))]).toEqual([
      1,
      -2.5,
      65504,
      2 ** -24,
      -0,
      Number.POSITIVE_INFINITY,
      1023 * 2 ** -24,
    ]);
    expect([...(await back.readF32("b"))]).toEqual([1, -2.5, Math.fround(3.3895314e38), 2 ** -133]);
    expect(await back.readF32("f")).toEqual(new Float32Array([0.1]));
    await expectError(back.readF32("u"), "unsupported", /"?u"? is U8/);
    await expectError(back.read("absent"), "bad-input", /no tensor "absent"/);
  });

  it("refuses to write bytes that do not fit the shape", () => {
    expect(() => writeSafetensors({ t: { dtype: "F32", shape: [2], data: new Uint8Array(7) } })).toThrow(/not 7 bytes/);
    expect(() => writeSafetensors({ __metadata__: { dtype: "U8", shape: [1], data: new Uint8Array(1) } })).toThrow(
      /cannot write/,
    );
  });
});

describe("safetensors abuse", () => {
  const good = entry("a", "F32", "2", 0, 8);
  const cases: [string, Uint8Array, RegExp][] = [
    ["overlap", file(`{${good},${entry("b", "F32", "2", 4, 12)}}`, 12), /"b" overlaps/],
    ["same range twice", file(`{${good},${entry("b", "F32", "2", 0, 8)}}`, 8), /overlaps/],
    ["hole", file(`{${good},${entry("b", "F32", "1", 12, 16)}}`, 16), /"b" leaves a hole/],
    ["hole at the start", file(`{${entry("a", "U8", "1", 1, 2)}}`, 2), /hole/],
    ["bytes after the last tensor", file(`{${good}}`, 9), /1 bytes follow/],
    ["duplicate tensor", file(`{${good},${entry("a", "F32", "2", 8, 16)}}`, 16), /"a" appears twice/],
    [
      "duplicate by escape",
      file(`{${good},"\\u0061":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`, 16),
      /appears twice/,
    ],
    [
      "duplicate field",
      file('{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
      /repeated field "dtype"/,
    ],
    ["duplicate metadata key", file('{"__metadata__":{"k":"1","k":"2"}}'), /"k" appears twice/],
    ["duplicate metadata", file('{"__metadata__":{},"__metadata__":{}}'), /__metadata__ appears twice/],
    ["metadata that is not text", file('{"__metadata__":{"k":1}}'), /expected "/],
    ["size unlike shape", file(`{${entry("a", "F32", "2", 0, 4)}}`, 4), /needs 8 bytes/],
    ["end before begin", file(`{${entry("a", "F32", "2", 8, 0)}}`, 8), /needs 8 bytes/],
    ["2^60 dimension", file(`{${entry("a", "F32", String(2n ** 60n), 0, 8)}}`, 8), /below 2\^53/],
    ["product over 2^53", file(`{${entry("a", "U8", "2147483647,2147483647", 0, 8)}}`, 8), /impossible shape/],
    ["rank 9", file(`{${entry("a", "U8", "1,1,1,1,1,1,1,1,1", 0, 1)}}`, 1), /impossible shape/],
    ["negative extent", file(`{${entry("a", "F32", "-2", 0, 8)}}`, 8), /whole number/],
    ["fraction", file(`{${entry("a", "F32", "2.0", 0, 8)}}`, 8), /expected \]/],
    ["exponent", file(`{${entry("a", "F32", "2e0", 0, 8)}}`, 8), /expected \]/],
    ["leading zero", file(`{${entry("a", "F32", "02", 0, 8)}}`, 8), /whole number/],
    ["unknown dtype", file(`{${entry("a", "F33", "2", 0, 8)}}`, 8), /unknown dtype "F33"/],
    ["dtype of the prototype", file(`{${entry("a", "toString", "2", 0, 8)}}`, 8), /unknown dtype/],
    ["three offsets", file('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}', 1), /data_offsets/],
    ["missing field", file('{"a":{"dtype":"U8","shape":[1]}}', 1), /lacks/],
    ["unknown field", file('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}', 1), /unknown/],
    ["text after the object", file("{}x"), /after the closing/],
    ["raw control character", file('{"a\u0001":{}}'), /control character/],
    ["cut JSON", file('{"a":{"dtype":"U8"'), /found "the end"/],
    ["not UTF-8", concat([u64(4), latin1('{"\xff"')]), /UTF-8/],
    ["header over 100 MB", file("{}", 0, 100_000_001), /limit is 100000000/],
    ["header of 2^63", file("{}", 0, 2n ** 63n), /9223372036854775808/],
  ];
  it.each(cases)("%s", async (_name, bytes, message) => {
    await expectError(openBytes(bytes, "abuse.safetensors"), "bad-file", message);
  });

  it("reports a header that is cut as truncated, and a file that starts with something else by its name", async () => {
    await expectError(openBytes(file("{}", 0, 50)), "truncated", /header needs 50 bytes/);
    await expectError(openBytes(file("[]"), "x.safetensors"), "bad-file", /does not start with \{/);
  });

  it("does not choke on many small entries or one long name", async () => {
    const many = Array.from({ length: 50_000 }, (_, i) => entry(`t${i}`, "U8", "0", 0, 0)).join();
    expect((await openBytes(file(`{${many}}`))).tensors.size).toBe(50_000);
    const tooMany = Array.from({ length: 100_001 }, (_, i) => entry(`t${i}`, "U8", "0", 0, 0)).join();
    await expectError(openBytes(file(`{${tooMany}}`)), "bad-file", /more than 100000 tensors/);
    const notes = Array.from({ length: 100_001 }, (_, i) => `"${i}":""`).join();
    await expectError(openBytes(file(`{"__metadata__":{${notes}}}`)), "bad-file", /more than 100000 metadata/);
    const endless = `{"${"a".repeat(2 ** 24 + 1)}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`;
    await expectError(openBytes(file(endless)), "bad-file", /a string of 16777217 characters/);
    const slashes = `{"${"\\\\".repeat(500_000)}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`;
    expect((await openBytes(file(slashes))).tensors.size).toBe(1);
    await expectError(openBytes(file(`{"${'\\"'.repeat(500_000)}`)), "bad-file", /string without end/);
  });
});

describe("truncated safetensors", () => {
  it("opens, tells what is missing, and reads what is there", async () => {
    const whole = file(`{${entry("a", "F32", "2", 0, 8)},${entry("b", "F32", "3", 8, 20)}}`, 20);
    const cut = await openBytes(whole.subarray(0, whole.length - 5));
    expect(cut.missingBytes).toBe(5);
    expect([...cut.tensors.values()].map((tensor) => tensor.present)).toEqual([true, false]);
    expect(await cut.read("a")).toEqual(new Uint8Array([0, 1, 2, 3, 4, 5, 6, 7]));
    await expectError(cut.read("b"), "truncated", /tensor "b" needs 12 bytes/);
  });
});

describe("real safetensors", () => {
  const name = "weights/mobilenet_v2_1.0_224_tf_fp32.safetensors";
  it.skipIf(!hasData(name))("opens with two small reads and finds every tensor", async () => {
    const inner = await fileSource(dataFile(name));
    const counted = counting(inner);
    const checkpoint = await openCheckpoint(counted);
    expect(counted.bytes()).toBeLessThan(20_000);
    expect(checkpoint.tensors.size).toBe(106);
    expect(checkpoint.tensors.get("classifier.1.weight")!.shape).toEqual([1001, 1280]);
    expect((await checkpoint.readF32("classifier.1.bias")).length).toBe(1001);
  });
});
