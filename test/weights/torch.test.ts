import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { KinemaError } from "../../src/core/fail.ts";
import { expectError, openBytes } from "./support/expect_error.ts";
import * as torch from "./support/torch_writer.ts";

const FOLDER = new URL("../golden/torch/", import.meta.url);
const fixture = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(name, FOLDER)));

interface Expected {
  readonly torch: string;
  readonly files: Record<
    string,
    {
      metadata: Record<string, string>;
      tensors: Record<string, { dtype: string; shape: number[]; values: number[] }>;
    }
  >;
}
const expected = JSON.parse(readFileSync(new URL("expected.json", FOLDER), "utf8")) as Expected;

/** Values of little-endian elements as numbers, by a route of its own: DataView per element. */
function numbers(bytes: Uint8Array, dtype: string): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const each = (size: number, get: (at: number) => number): number[] =>
    Array.from({ length: bytes.byteLength / size }, (_, i) => get(i * size));
  if (dtype === "I64") return each(8, (at) => Number(view.getBigInt64(at, true)));
  if (dtype === "I32") return each(4, (at) => view.getInt32(at, true));
  if (dtype === "I16") return each(2, (at) => view.getInt16(at, true));
  if (dtype === "I8") return each(1, (at) => view.getInt8(at));
  return each(1, (at) => view.getUint8(at)); // U8, BOOL
}

describe(`files written by torch ${expected.torch}`, () => {
  it("has a fixture for every file", () => {
    expect(
      readdirSync(FOLDER)
        .filter((name) => name.endsWith(".pt"))
        .sort(),
    ).toEqual(Object.keys(expected.files).sort());
  });

  it.each(Object.entries(expected.files))("%s", async (name, { metadata, tensors }) => {
    const checkpoint = await openBytes(fixture(name), name);
    expect(checkpoint.container).toBe(name.includes(".zip.") ? "torch-zip" : "torch-legacy");
    expect(checkpoint.missingBytes).toBe(0);
    expect({ ...checkpoint.metadata }).toEqual(metadata);
    expect([...checkpoint.tensors.keys()]).toEqual(Object.keys(tensors));
    for (const [key, { dtype, shape, values }] of Object.entries(tensors)) {
      const info = checkpoint.tensors.get(key)!;
      expect(info).toMatchObject({ dtype, shape, present: true });
      const bytes = await checkpoint.read(key);
      expect(bytes.byteLength).toBe(info.byteLength);
      const float = ["F32", "F16", "BF16", "F64"].includes(dtype);
      expect(float ? [...(await checkpoint.readF32(key))] : numbers(bytes, dtype)).toEqual(values);
    }
  });

  it("tells where a legacy tensor lies in the file", async () => {
    const bytes = fixture("views.legacy.pt");
    const checkpoint = await openBytes(bytes);
    const base = checkpoint.tensors.get("base")!.offset!;
    expect(checkpoint.tensors.get("rows")!.offset).toBe(base + 2 * 7 * 4);
    expect(checkpoint.tensors.get("element")!.offset).toBe(base + (3 * 7 + 4) * 4);
    expect(new DataView(bytes.buffer).getFloat32(base + 4, true)).toBe(0.25);
  });
});

describe("both containers, assembled by hand", () => {
  const object = torch.dict(["a", torch.vector("7", 2)], ["b", torch.vector("11", 3)]);

  it("reads storages in the order of the key list, not of the dictionary", async () => {
    const b = ["11", 3, torch.floats(3, 4, 5)] as const;
    const bytes = torch.legacy(object, [b, ["7", 2, torch.floats(1, 2)]]);
    const checkpoint = await openBytes(bytes);
    expect(checkpoint.tensors.get("a")!.offset).toBe(bytes.length - 8);
    expect([...(await checkpoint.readF32("a"))]).toEqual([1, 2]);
    expect([...(await checkpoint.readF32("b"))]).toEqual([3, 4, 5]);
  });

  it.each([false, true])("reads zip with 5-item ids, byteorder, padding; zip64 %s", async (wide) => {
    const five = torch.dict(["a", torch.vector("7", 2, 5)], ["b", torch.vector("11", 3, 5)]);
    const storages = [["7", torch.floats(1, 2)] as const, ["11", torch.floats(3, 4, 5)] as const];
    const checkpoint = await openBytes(torch.torchZip(five, storages, wide));
    expect([...(await checkpoint.readF32("a"))]).toEqual([1, 2]);
    expect([...(await checkpoint.readF32("b"))]).toEqual([3, 4, 5]);
  });

  it("passes over a text of megabytes, and reads on in chunks", async () => {
    const log = torch.text("x".repeat(3_000_000));
    const object = torch.dict(["log", log], ["state_dict", torch.dict(["a", torch.vector("7", 2)], ["b", log])]);
    const checkpoint = await openBytes(torch.legacy(object, [["7", 2, torch.floats(1, 2)]]));
    expect([...checkpoint.tensors.keys()]).toEqual(["a"]);
    expect(Object.keys(checkpoint.metadata)).toEqual([]);
    expect([...(await checkpoint.readF32("a"))]).toEqual([1, 2]);
  });

  it("honours a legacy storage view", async () => {
    const view = torch.tuple(torch.text("v"), torch.int(2), torch.int(3));
    const spec = { key: "7", count: torch.int(6), view };
    const inside = torch.dict(["a", torch.tensor(spec, torch.int(1), [torch.int(2)], [torch.int(1)])]);
    const data = [["7", 6, torch.floats(0, 1, 2, 3, 4, 5)] as const];
    expect([...(await (await openBytes(torch.legacy(inside, data))).readF32("a"))]).toEqual([3, 4]);
    const outside = torch.dict(["a", torch.tensor(spec, torch.int(1), [torch.int(3)], [torch.int(1)])]);
    await expectError(openBytes(torch.legacy(outside, data)), "bad-file", /leaves its storage/);
  });

  it("reads _rebuild_tensor_v3 over an untyped storage", async () => {
    const untyped = { key: "0", type: "torch.storage.UntypedStorage", count: torch.int(8), items: 5 } as const;
    const hooks = `${torch.global("collections.OrderedDict")})R`;
    const v3 = (dtype: string, offset: number, count: number): string =>
      `${torch.global("torch._utils._rebuild_tensor_v3")}${torch.tuple(torch.storage(untyped), torch.int(offset), torch.tuple(torch.int(count)), torch.tuple(torch.int(1)), "\x89", hooks, torch.global(dtype))}R`;
    const data = [["0", torch.floats(1, 2)] as const];
    const file = torch.torchZip(torch.dict(["a", v3("torch.float32", 1, 1)], ["b", v3("torch.uint16", 0, 4)]), data);
    const checkpoint = await openBytes(file);
    expect([...(await checkpoint.readF32("a"))]).toEqual([2]);
    expect(checkpoint.tensors.get("b")).toMatchObject({ dtype: "U16", shape: [4] });
    await expectError(
      openBytes(torch.torchZip(torch.dict(["a", v3("torch.float32", 1, 2)]), data)),
      "bad-file",
      /leaves/,
    );
  });

  it("opens a legacy file cut in its data, refuses one cut in its pickles", async () => {
    const whole = torch.legacy(object, [
      ["11", 3, torch.floats(3, 4, 5)],
      ["7", 2, torch.floats(1, 2)],
    ]);
    for (const [missing, present] of [
      [1, [false, true]],
      [8, [false, true]],
      [16, [false, true]],
      [17, [false, false]],
    ] as const) {
      const cut = await openBytes(whole.subarray(0, whole.length - missing));
      expect(cut.missingBytes).toBe(missing);
      expect([...cut.tensors.values()].map((tensor) => tensor.present)).toEqual(present);
      await expectError(cut.readF32("a"), "truncated", /"a"/);
    }
    await expectError(openBytes(whole.subarray(0, 90)), "truncated", /inside the pickle/);
    await expectError(openBytes(fixture("module.zip.pt").subarray(0, 3000)), "truncated", /without its end record/);
  });
});

describe("every single flipped bit", () => {
  const everything = async (bytes: Uint8Array): Promise<string> => {
    const checkpoint = await openBytes(bytes);
    const parts: string[] = [];
    for (const { name, dtype, shape } of checkpoint.tensors.values()) {
      parts.push(`${name} ${dtype} [${shape}] ${Buffer.from(await checkpoint.read(name)).toString("hex")}`);
    }
    return parts.join("\n");
  };

  it("of a zip file is an error or changes nothing", async () => {
    const good = fixture("protocol4.zip.pt");
    const wanted = await everything(good);
    let refused = 0;
    for (let bit = 0; bit < 8 * good.length; bit++) {
      const bytes = good.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const got = await everything(bytes).catch((error: unknown) => error);
      if (got instanceof KinemaError) refused++;
      else expect(got, `bit ${bit}`).toBe(wanted);
    }
    // What may change unseen: padding, time stamps, versions, the entry `version`, the descriptors after the data.
    expect(refused).toBeGreaterThan(0.5 * 8 * good.length);
  });
});
