import { describe, expect, it } from "vitest";
import { crc32 } from "../../src/weights/crc32.ts";
import { concat, latin1 } from "./support/bytes.ts";
import { expectError, openBytes } from "./support/expect_error.ts";
import * as torch from "./support/torch_writer.ts";
import { zip } from "./support/zip_writer.ts";

describe("hostile pickles are refused in both containers", () => {
  const one = [["0", 2, torch.floats(1, 2)] as const];
  const both = async (
    object: string,
    ...wanted: [code: Parameters<typeof expectError>[1], message: RegExp]
  ): Promise<void> => {
    await expectError(openBytes(torch.legacy(object, one)), ...wanted);
    await expectError(openBytes(torch.torchZip(object, [["0", torch.floats(1, 2)]])), ...wanted);
  };
  const shaped = (shape: string[], strides: string[], offset = torch.int(0), count = torch.int(2)): string =>
    torch.dict(["a", torch.tensor({ key: "0", count }, offset, shape, strides)]);

  it.each([
    ["os.system", `${torch.global("os.system")}${torch.tuple(torch.text("true"))}R`],
    ["posix.system", `${torch.global("posix.system")}${torch.tuple(torch.text("true"))}R`],
    ["builtins.eval", `${torch.global("builtins.eval")}${torch.tuple(torch.text("1"))}R`],
    ["__builtin__.getattr", `${torch.global("__builtin__.getattr")}0`],
    ["subprocess.Popen", `(${torch.text("x")}isubprocess\nPopen\n`],
    ["torch.nn.modules.linear.Linear", `${torch.global("torch.nn.modules.linear.Linear")})\x81`],
    ["os.popen", `${torch.text("os")}${torch.text("popen")}\x93`],
    ["collections.OrderedDict.fromkeys", `${torch.global("collections.OrderedDict.fromkeys")}`],
  ])("%s", async (name, body) => {
    await both(
      torch.dict(["state_dict", torch.dict(["a", torch.vector("0", 2)])], ["x", body]),
      "unsupported-pickle",
      new RegExp(`"${name.replaceAll(".", "\\.")}" at byte \\d+`),
    );
  });

  it.each([
    ["2^60 dimension", shaped([torch.long(2n ** 60n)], [torch.int(1)]), /not a whole number below 2\^53/],
    ["2^31 dimension", shaped([torch.long(2n ** 31n)], [torch.int(0)]), /impossible size/],
    [
      "2^60 elements by stride 0",
      shaped([torch.int(1 << 30), torch.int(1 << 30)], [torch.int(0), torch.int(0)]),
      /impossible size/,
    ],
    [
      "2^40 bytes by stride 0",
      shaped([torch.int(1 << 20), torch.int(1 << 18)], [torch.int(0), torch.int(0)]),
      /a tensor of 1099511627776 bytes/,
    ],
    ["2^60 stride", shaped([torch.int(2)], [torch.long(2n ** 60n)]), /below 2\^53/],
    [
      "2^52 stride",
      shaped([torch.int(2), torch.int(2), torch.int(2)], Array(3).fill(torch.long(2n ** 52n))),
      /leaves its storage/,
    ],
    ["negative stride", shaped([torch.int(2)], [torch.int(-1)]), /strides is not a whole number/],
    ["negative offset", shaped([torch.int(1)], [torch.int(1)], torch.int(-1)), /offset is not a whole number/],
    ["past the end", shaped([torch.int(2)], [torch.int(1)], torch.int(1)), /leaves its storage of 2 elements/],
    ["offset of an empty tensor past the end", shaped([torch.int(0)], [torch.int(1)], torch.int(3)), /leaves/],
    ["fractional size", shaped([`G${"\x3f\xf8".padEnd(8, "\0")}`], [torch.int(1)]), /size is not a whole/],
    ["rank 9", shaped(Array(9).fill(torch.int(1)), Array(9).fill(torch.int(1))), /rank 9/],
    ["ranks differ", shaped([torch.int(2)], [torch.int(1), torch.int(1)]), /impossible size/],
    [
      "storage of 2^60",
      shaped([torch.int(1)], [torch.int(1)], torch.int(0), torch.long(2n ** 60n)),
      /element count of storage "0"/,
    ],
    [
      "storage of 2^52 f32",
      shaped([torch.int(1)], [torch.int(1)], torch.int(0), torch.long(2n ** 52n)),
      /4503599627370496 elements/,
    ],
    ["integer of 17 bytes", torch.dict(["a", torch.long(1n, 17)]), /integer of 17 bytes/],
    ["SETITEM on a list", `]${torch.text("k")}Ns`, /not a dictionary/],
    ["SETITEM on a tensor", `${torch.vector("0", 2)}${torch.text("k")}Ns`, /not a dictionary/],
    ["APPEND to a dictionary", "}Na", /not a list/],
    ["APPENDS to a global", `${torch.global("torch.Size")}(Ne`, /not a list/],
    ["BUILD on a tuple", ")}b", /takes no state/],
    ["REDUCE of text", `${torch.text("os.system")})R`, /not a global/],
    ["REDUCE of a storage type", `${torch.global("torch.FloatStorage")})R`, /cannot be called/],
    ["key without value", "}(Nu", /key without value/],
    ["stack underflow", "a", /stack is empty/],
    ["no mark", "t", /no mark/],
    ["a value below the mark", "N(a", /stack is empty/],
    ["empty memo entry", "h\x05", /memo entry 5 is empty/],
    ["unknown opcode", "\xfe", /0xfe is unknown/],
    ["extension opcode", "\x82\x01", /0x82/],
    ["protocol 0 id", "P0\n", /0x50/],
    ["unknown persistent id", `${torch.tuple(torch.text("module_"), "N", "N", "N", "N")}Q`, /unknown persistent id/],
    [
      "storage without a type",
      `${torch.tuple(torch.text("storage"), torch.text("FloatStorage"), torch.text("0"), "N", torch.int(2))}Q`,
      /without a type/,
    ],
    [
      "one storage, two types",
      torch.dict(
        ["a", torch.vector("0", 2)],
        ["b", torch.storage({ key: "0", type: "torch.IntStorage", count: torch.int(2) })],
      ),
      /declared twice/,
    ],
    ["one storage, two sizes", torch.dict(["a", torch.vector("0", 2)], ["b", torch.vector("0", 3)]), /declared twice/],
  ])("%s", async (_name, object, message) => {
    await both(object, "bad-file", message);
  });

  it("says what to do with a pickled module, a list, and a bare pickle", async () => {
    const module = `${torch.tuple(torch.text("module"), torch.text("x"), torch.text("y"), torch.text("z"))}Q`;
    await both(module, "unsupported", /whole pickled module; save model.state_dict/);
    await both(`](${torch.vector("0", 2)}e`, "unsupported", /no dictionary of tensors/);
    await expectError(openBytes(torch.pickle(torch.dict(["a", torch.int(1)]))), "bad-file", /torch.save did not write/);
    await expectError(openBytes(latin1("cos\nsystem\n(S'true'\ntR.")), "unsupported-pickle", /"os.system" at byte 0/);
    await expectError(openBytes(latin1("\x80\x09}.")), "unsupported", /protocol 9/);
  });

  it("is done in linear time", async () => {
    const started = performance.now();
    await both("N0".repeat(600_000), "bad-file", /more than 1000000 opcodes/);
    await both("N".repeat(200_000), "bad-file", /values on the stack/);
    await both("(".repeat(200_000), "bad-file", /marks/);
    await both(
      `N${Array.from({ length: 262_200 }, (_, i) => `r${String.fromCharCode(i & 255, (i >> 8) & 255, i >> 16, 0)}`).join("")}`,
      "bad-file",
      /memo entries/,
    );
    // OrderedDict(list) again and again: each copy is charged
    const copies = `${torch.global("collections.OrderedDict")}q\x010](${"NN\x86".repeat(20_000)}e\x85q\x020${"h\x01h\x02R0".repeat(50_000)}`;
    await both(copies, "bad-file", /more than 1000000 opcodes/);
    // a dictionary that contains itself, wrapped in its own name
    const self = await openBytes(torch.legacy(`}q\x01${torch.text("state_dict")}h\x01s`, []));
    expect(self.tensors.size).toBe(0);
    expect(performance.now() - started).toBeLessThan(8_000);
  });
});

describe("hostile legacy streams", () => {
  const object = torch.dict(["a", torch.vector("0", 2)]);
  const data = ["0", 2, torch.floats(1, 2)] as const;
  it("checks what surrounds the pickle", async () => {
    await expectError(openBytes(torch.legacy(object, [data], { version: 1002 })), "unsupported", /version 1002/);
    await expectError(openBytes(torch.legacy(object, [data], { littleEndian: false })), "unsupported", /big-endian/);
    await expectError(
      openBytes(torch.legacy(object, [data], { keys: ["1"] })),
      "bad-file",
      /"1" is listed twice or belongs/,
    );
    await expectError(openBytes(torch.legacy(object, [data, data])), "bad-file", /listed twice/);
    await expectError(openBytes(torch.legacy(object, [])), "bad-file", /"0" is used and not listed/);
    await expectError(
      openBytes(concat([torch.legacy(object, [data]), new Uint8Array(3)])),
      "bad-file",
      /3 bytes follow/,
    );
  });
  it("compares the element count in the data with the pickle's when a tensor is read", async () => {
    const checkpoint = await openBytes(torch.legacy(object, [["0", 1, torch.floats(1, 2)]]));
    await expectError(checkpoint.readF32("a"), "bad-file", /its storage says 1 elements and its pickle 2/);
  });
});

describe("hostile zips", () => {
  const pickle = { name: "r/data.pkl", data: torch.pickle(torch.dict(["a", torch.vector("0", 2)])) };
  const data = { name: "r/data/0", data: torch.floats(1, 2) };
  it.each([
    ["deflate", [pickle, { ...data, method: 8 }], "unsupported", /"r\/data\/0" is compressed/],
    ["encrypted", [pickle, { ...data, flags: 1 }], "unsupported", /encrypted/],
    ["duplicate name", [pickle, data, data], "bad-file", /"r\/data\/0" appears twice/],
    ["overlap", [pickle, data, { name: "r/data/1", data: torch.floats(3), offset: 0 }], "bad-file", /overlaps/],
    ["outside the root", [pickle, data, { name: "other/x", data: data.data }], "bad-file", /outside the folder "r"/],
    ["dot dot", [pickle, data, { name: "r/../x", data: data.data }], "bad-file", /outside/],
    ["two roots", [pickle, data, { ...pickle, name: "s/data.pkl" }], "unsupported", /without one <folder>\/data.pkl/],
    ["no pickle", [data], "unsupported", /not a torch checkpoint/],
    ["TorchScript", [pickle, data, { name: "r/constants.pkl", data: data.data }], "unsupported", /TorchScript/],
    [
      "storage smaller than declared",
      [pickle, { ...data, data: torch.floats(1) }],
      "bad-file",
      /declared with 8 bytes and holds 4/,
    ],
    [
      "storage larger than declared",
      [pickle, { ...data, data: torch.floats(1, 2, 3) }],
      "bad-file",
      /declared with 8 bytes and holds 12/,
    ],
    ["storage absent", [pickle], "bad-file", /"0" is declared and not in the archive/],
    ["size beyond the file", [pickle, { ...data, directorySize: 1 << 20 }], "bad-file", /beyond the end/],
    ["pickle fails its CRC", [{ ...pickle, crc: 1 }, data], "bad-file", /"r\/data.pkl" fails its CRC-32/],
    [
      "pickle's local name differs",
      [{ ...pickle, localName: "r/data.pkk" }, data],
      "bad-file",
      /disagrees with the directory/,
    ],
    ["big-endian", [pickle, data, { name: "r/byteorder", data: latin1("big") }], "unsupported", /"big"-endian/],
  ] as const)("%s", async (_name, files, code, message) => {
    await expectError(openBytes(zip(files)), code, message);
    await expectError(openBytes(zip(files, true)), code, message);
  });

  it("checks a storage's CRC and header when it is read, whole or in part", async () => {
    const half = torch.tensor(
      { key: "0", count: torch.int(2), items: 5 },
      torch.int(1),
      [torch.int(1)],
      [torch.int(1)],
    );
    const object = { ...pickle, data: torch.pickle(torch.dict(["a", torch.vector("0", 2)], ["half", half])) };
    const good = await openBytes(zip([object, data]));
    expect([...(await good.readF32("half"))]).toEqual([2]);
    const bad = await openBytes(zip([object, { ...data, crc: 1 }]));
    await expectError(bad.readF32("half"), "bad-file", /fails its CRC-32/);
    await expectError(bad.readF32("a"), "bad-file", /fails its CRC-32/);
    const moved = await openBytes(zip([object, { ...data, localName: "r/data/1" }]));
    await expectError(moved.read("a"), "bad-file", /disagrees/);
  });

  it("refuses an entry inside another one when it opens, before either is read", async () => {
    const inside = 30 + pickle.name.length + pickle.data.length + 4; // four bytes into the local header of r/data/0
    const files = [pickle, data, { name: "r/data/1", data: torch.floats(3), offset: inside }];
    await expectError(openBytes(zip(files)), "bad-file", /entry "r\/data\/0" overlaps what follows it/);
  });

  it("refuses bytes before the first entry and a directory that runs over", async () => {
    const whole = zip([pickle, data]);
    await expectError(openBytes(concat([latin1("PK\x03\x04"), whole])), "bad-file", /zip/);
    const longer = whole.slice();
    new DataView(longer.buffer).setUint32(longer.length - 10, whole.length, true);
    await expectError(openBytes(longer), "bad-file", /impossible/);
    const crowded = whole.slice();
    new DataView(crowded.buffer).setUint16(crowded.length - 12, 60_000, true);
    new DataView(crowded.buffer).setUint16(crowded.length - 14, 60_000, true);
    await expectError(openBytes(crowded), "bad-file", /60000 entries/);
  });

  it("computes CRC-32 as zip does, in one piece or several", () => {
    const bytes = latin1("123456789");
    expect(crc32(bytes)).toBe(0xcbf43926);
    expect(crc32(bytes.subarray(4), crc32(bytes.subarray(0, 4)))).toBe(0xcbf43926);
    expect(crc32(new Uint8Array(0))).toBe(0);
  });
});
