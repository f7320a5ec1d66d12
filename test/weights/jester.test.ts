/** Every fact of tsm-stam.md 2.6 on the real bytes: the first MiB of the official online Jester checkpoint. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { inspect } from "../../src/cli/inspect.ts";
import { fileSource } from "../../src/host/file_source.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { openTensors } from "../../src/weights/load.ts";
import { recognise } from "../../src/weights/recognise.ts";
import { Block12, blockInputs, blockTensors } from "../block12.ts";
import { counting, dataFile, hasData, JESTER } from "./support/data.ts";
import { expectError } from "./support/expect_error.ts";

const open = async () => openCheckpoint(await fileSource(dataFile(JESTER)));

describe.skipIf(!hasData(JESTER))("the official Jester prefix", () => {
  it("has the tensors, counts and sizes that the whole file would have", async () => {
    const checkpoint = await open();
    const tensors = [...checkpoint.tensors.values()];
    expect(checkpoint.container).toBe("torch-legacy");
    expect(tensors.length).toBe(314);
    expect(tensors.filter((tensor) => tensor.present).length).toBe(41);
    expect(checkpoint.size + checkpoint.missingBytes).toBe(9_225_904);
    expect(checkpoint.missingBytes).toBe(9_225_904 - 1_048_576);
    const elements = tensors.map(({ shape }) => shape.reduce((product, extent) => product * extent, 1));
    expect(elements.reduce((sum, count) => sum + count)).toBe(2_292_623);
    expect(new Set(tensors.map((tensor) => tensor.offset)).size).toBe(314); // one storage per tensor
    const ends = (suffix: string): number => tensors.filter(({ name }) => name.endsWith(suffix)).length;
    expect([ends(".weight"), ends(".bias"), ends(".running_mean"), ends(".running_var"), ends("_tracked")]).toEqual([
      105, 53, 52, 52, 52,
    ]);
  });

  it.each([
    ["features.11.conv.7.weight", [96], 52_700, [0.665476799, 0.806662977, 0.762432694], 55.787942],
    ["features.12.conv.0.weight", [576, 96, 1, 1], 54_284, [-0.0494233109, 0.0350088887, -0.0265769586], -23.239242],
    ["features.12.conv.3.weight", [576, 1, 3, 3], 284_740, [0.0267196242, 0.0120260436, -0.0590263568], -7.855948],
    ["features.12.conv.4.running_var", [576], 312_420, [0.00183769583, 0.000278921681, 6.18163467e-5], 0.76698103],
    ["features.12.conv.6.weight", [96, 576, 1, 1], 314_748, [-0.0406335741, -0.000773985812, 0.020622991], 4.8115346],
    ["features.13.conv.0.weight", [576, 96, 1, 1], 537_524, [0.0675162673, -0.0338098668, -0.0530323535], -26.853008],
    ["features.13.conv.7.running_var", [96], 1_020_356, [0.0553399734, 0.0505497716, 0.0685404092], 4.6324176],
  ] as const)("%s", async (name, shape, offset, first, sum) => {
    const checkpoint = await open();
    expect(checkpoint.tensors.get(name)).toMatchObject({ shape, offset, dtype: "F32", present: true });
    const values = await checkpoint.readF32(name);
    for (const [i, value] of first.entries()) expect(Math.abs(values[i]! / value - 1)).toBeLessThan(1e-8);
    expect(Math.abs(values.reduce((total, value) => total + value, 0) / sum - 1)).toBeLessThan(2e-8);
  });

  it("keeps denormals, counters, and positions beyond the end", async () => {
    const checkpoint = await open();
    const variance = await checkpoint.readF32("features.12.conv.4.running_var");
    expect(Math.min(...variance)).toBe(Math.fround(5.60519e-45));
    expect(checkpoint.tensors.get("features.0.0.weight")).toMatchObject({
      shape: [32, 3, 3, 3],
      offset: 7_793_108,
      present: false,
    });
    expect(checkpoint.tensors.get("classifier.weight")).toMatchObject({
      shape: [27, 1280],
      offset: 9_087_548,
      present: false,
    });
    let counters = 0;
    for (const { name, present } of checkpoint.tensors.values()) {
      if (!present || !name.endsWith("num_batches_tracked")) continue;
      const bytes = await checkpoint.read(name);
      expect(new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(0, true)).toBe(108_680n);
      counters++;
    }
    expect(counters).toBe(7);
    await expectError(
      checkpoint.read("classifier.weight"),
      "truncated",
      /element count of tensor "classifier.weight" needs 8 bytes at 9087540/,
    );
  });

  it("agrees with the key list of the whole file", async () => {
    const list = JSON.parse(readFileSync(dataFile("labels/tsm_jester_online_keys.json"), "utf8")) as Record<
      string,
      [number[], string]
    >;
    const { tensors } = await open();
    expect([...tensors.keys()]).toEqual(Object.keys(list));
    for (const [name, [shape, type]] of Object.entries(list)) {
      expect(tensors.get(name)).toMatchObject({ shape, dtype: type === "LongStorage" ? "I64" : "F32" });
    }
  });

  it("is recognised and described", async () => {
    const found = recognise(await open());
    expect(found).toMatchObject({
      model: "tsm-mobilenetv2-online",
      classes: 27,
      segments: null,
      shiftDivisor: 8,
      padding: "symmetric",
      folded: false,
    });
    expect(found.shifted).toEqual([3, 5, 6, 8, 9, 10, 12, 13, 15, 16].map((i) => `blocks.${i}.expand`));
    expect([found.tensors.size, found.ignored.length, found.unknown.length]).toEqual([262, 52, 0]);
    const text = await inspect(dataFile(JESTER));
    expect(text).toContain("8177328 bytes missing, 41 of 314 tensors present");
    expect(text).toMatch(/^model: +tsm-mobilenetv2-online$/m);
    const report = JSON.parse(await inspect(dataFile(JESTER), { json: true }));
    expect(report).toMatchObject({
      truncated: true,
      missingBytes: 8_177_328,
      tensorCount: 314,
      presentCount: 41,
      model: "tsm-mobilenetv2-online",
    });
  });

  it("reads 64 KiB to describe the file", async () => {
    const inner = await fileSource(dataFile(JESTER));
    const counted = counting(inner);
    await openCheckpoint(counted);
    expect(counted.bytes()).toBeLessThanOrEqual(65_536 + 512);
  });

  it("lists what a whole model would miss in one error", async () => {
    const checkpoint = await open();
    const { tensors } = recognise(checkpoint);
    const wanted = new Map([...tensors].map(([name, raw]) => [name, checkpoint.tensors.get(raw)!.shape]));
    const error = await expectError(
      (async () => openTensors(checkpoint, wanted, tensors))(),
      "weights-mismatch",
      /228 truncated: features\.0\.0\.weight/,
    );
    expect((error.details.truncated as string[]).length).toBe(228);
  });
});

describe.skipIf(!hasData(JESTER))("the real block features.12", () => {
  it("gives the numbers of tsm-stam.md 2.6 in all three columns", async () => {
    const { x, states } = blockInputs();
    const block = new Block12(await blockTensors(await open()));
    const columns = Object.values(states).map((state) => block.run(x, state));
    const sums = columns.map((o) => o.reduce((total, value) => total + value, 0));
    const near = (actual: number, wanted: number, within: number): void =>
      expect(Math.abs(actual - wanted)).toBeLessThan(within);
    for (const [i, wanted] of [-0.36997828, -0.4740174, -0.46401148].entries()) near(columns[i]![0]!, wanted, 1e-8);
    for (const [i, wanted] of [-1032.63572, -1031.6566, -1115.03227].entries()) near(sums[i]!, wanted, 1e-5);
    const at = (c: number, y: number, z: number): number => columns[0]![c * 196 + y * 14 + z]!;
    near(at(0, 0, 1), 0.13814481, 1e-8);
    near(at(11, 7, 7), -1.07252846, 1e-8);
    near(at(95, 13, 13), -0.46637651, 1e-8);
  });
});
