import { describe, expect, it } from "vitest";
import { fromBytes } from "../../src/weights/byte_source.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { openTensors } from "../../src/weights/load.ts";
import type { TensorToWrite } from "../../src/weights/safetensors.ts";
import { writeSafetensors } from "../../src/weights/safetensors.ts";
import { expectError, openBytes } from "./support/expect_error.ts";
import * as torch from "./support/torch_writer.ts";

const f32 = (shape: number[], ...values: number[]): TensorToWrite => ({
  dtype: "F32",
  shape,
  data: new Float32Array(values),
});
const tensors = {
  "raw.a": f32([2, 3], 1, 2, 3, 4, 5, 6),
  "raw.b": { dtype: "F16", shape: [2], data: new Uint16Array([0x3c00, 0xc000]) },
  "bn.num_batches_tracked": { dtype: "I64", shape: [], data: new BigInt64Array([3n]) },
} as const;
const names = new Map([
  ["a", "raw.a"],
  ["b", "raw.b"],
]);
const wanted = new Map([
  ["a", [2, 3]],
  ["b", [2]],
]);

/** Every tensor, in the order of the keys. */
async function loadTensors(...given: Parameters<typeof openTensors>): Promise<Map<string, Float32Array>> {
  const tensors = openTensors(...given);
  const loaded = new Map<string, Float32Array>();
  for (const name of tensors.keys()) loaded.set(name, (await tensors.get(name))!);
  return loaded;
}

describe("openTensors", () => {
  it("returns f32 by canonical name, ignoring counters", async () => {
    const loaded = await loadTensors(await openBytes(writeSafetensors(tensors)), wanted, names);
    expect([...loaded.keys()].sort()).toEqual(["a", "b"]);
    expect([...loaded.get("a")!]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...loaded.get("b")!]).toEqual([1, -2]);
  });

  it("takes a 1x1x1 convolution for a 1x1 one, and no vector for a matrix", async () => {
    const nl = await openBytes(writeSafetensors({ w: f32([3, 2, 1, 1, 1], 1, 2, 3, 4, 5, 6), b: f32([3], 7, 8, 9) }));
    const same = new Map([
      ["w", "w"],
      ["b", "b"],
    ]);
    const loaded = await loadTensors(
      nl,
      new Map([
        ["w", [3, 2, 1, 1]],
        ["b", [3]],
      ]),
      same,
    );
    expect([...loaded.get("w")!]).toEqual([1, 2, 3, 4, 5, 6]);
    await expectError(
      loadTensors(
        nl,
        new Map([
          ["w", [3, 2, 1, 2]],
          ["b", [3]],
        ]),
        same,
      ),
      "weights-mismatch",
      /w is \[3,2,1,1,1\], needs \[3,2,1,2\]/,
    );
    await expectError(
      loadTensors(
        nl,
        new Map([
          ["w", [2, 3, 1, 1]],
          ["b", [3]],
        ]),
        same,
      ),
      "weights-mismatch",
      /1 wrong shape/,
    );
    const flat = await openBytes(writeSafetensors({ b: f32([3, 1], 7, 8, 9) }));
    await expectError(
      loadTensors(flat, new Map([["b", [3]]]), new Map([["b", "b"]])),
      "weights-mismatch",
      /b is \[3,1\], needs \[3\]/,
    );
  });

  it("reports every kind of mismatch in one error, before it reads any data", async () => {
    const file = writeSafetensors({
      ...tensors,
      shape: f32([3, 2], 1, 2, 3, 4, 5, 6),
      counted: { dtype: "I32", shape: [1], data: new Int32Array(1) },
      ...Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`extra.${i + 10}`, f32([1], i)])),
      "z.last": { dtype: "BF16", shape: [2], data: new Uint16Array(2) },
    });
    const source = fromBytes(file.subarray(0, file.length - 1), "model.safetensors");
    const checkpoint = await openCheckpoint(source);
    let reads = 0;
    const watched = {
      ...checkpoint,
      tensors: checkpoint.tensors,
      name: checkpoint.name,
      readF32: async () => {
        reads++;
        return new Float32Array(0);
      },
    };
    const want = new Map([...wanted, ["s", [2, 3]], ["c", [1]], ["l", [2]], ["gone", [4]]]);
    const have = new Map([...names, ["s", "shape"], ["c", "counted"], ["l", "z.last"]]);
    const error = await expectError(
      loadTensors(watched as never, want, have),
      "weights-mismatch",
      /^model\.safetensors: .* 1 missing: gone; 11 unused: extra\.10, extra\.11, .*extra\.17, and 3 more; 1 wrong shape: shape is \[3,2\], needs \[2,3\]; 1 wrong dtype: counted is I32; 1 truncated: z\.last;/,
    );
    expect((error.details.unused as string[]).length).toBe(11);
    expect(reads).toBe(0);
  });

  it("names every tensor with NaN or infinity in one error", async () => {
    const bad = {
      nan: f32([3], 1, Number.NaN, 2),
      fine: f32([2], 3.4e38, -3.4e38),
      inf: { dtype: "F16", shape: [1], data: new Uint16Array([0xfc00]) } as const,
      big: { dtype: "F64", shape: [1], data: new Float64Array([1e300]) } as const,
    };
    const all = new Map(Object.keys(bad).map((name) => [name, name]));
    const shapes = new Map(Object.entries(bad).map(([name, { shape }]) => [name, shape as readonly number[]]));
    const error = await expectError(
      loadTensors(await openBytes(writeSafetensors(bad)), shapes, all),
      "not-finite",
      /NaN or infinity in/,
    );
    expect([...(error.details.tensors as string[])].sort()).toEqual(["big", "inf", "nan"]);
  });

  it("leaves extras where they are asked to be left, and still refuses what else is wrong", async () => {
    const file = await openBytes(writeSafetensors({ ...tensors, "head_dist.bias": f32([2], 1, 2) }));
    await expectError(loadTensors(file, wanted, names), "weights-mismatch", /: 1 unused: head_dist\.bias;/);
    expect((await loadTensors(file, wanted, names, "leave")).size).toBe(2);
    const more = new Map([...wanted, ["c", [2]]]);
    await expectError(loadTensors(file, more, names, "leave"), "weights-mismatch", /: 1 missing: c;/);
  });

  it("has no tensor that was not wanted", async () => {
    const read = openTensors(await openBytes(writeSafetensors(tensors)), wanted, names);
    expect(await read.get("bn.num_batches_tracked")).toBeUndefined();
  });

  it("has its keys in the order of the file", async () => {
    const checkpoint = await openBytes(writeSafetensors({ c: f32([1], 1), a: f32([1], 2), b: f32([1], 3) }));
    const order: string[] = [];
    const watched = {
      ...checkpoint,
      tensors: checkpoint.tensors,
      readF32: async (name: string) => {
        order.push(name);
        return checkpoint.readF32(name);
      },
    };
    const one = new Map(["c", "b", "a"].map((name) => [name, [1]]));
    await loadTensors(watched as never, one, new Map(["a", "b", "c"].map((name) => [name, name])));
    expect(order).toEqual(["a", "b", "c"]);
    const [a, b, c] = ["0", "1", "2"].map((key) => torch.vector(key, 1, 5));
    const zip = await openBytes(
      torch.torchZip(
        torch.dict(["c", c!], ["a", a!], ["b", b!]),
        ["0", "1", "2"].map((key) => [key, torch.floats(1)]),
      ),
    );
    const keys = openTensors(zip, one, new Map([...one.keys()].map((name) => [name, name]))).keys();
    expect([...keys]).toEqual(["c", "a", "b"]); // as the dictionary lists them
  });
});
