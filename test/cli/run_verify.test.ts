// `kinema run` and `kinema verify` on PyTorch's tensors, in Node and in Chromium.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fileSource } from "../../src/host/file_source.ts";
import { softmax } from "../../src/labels/top.ts";
import { type NamedTensor, readTensors } from "../../src/run.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { writeSafetensors } from "../../src/weights/safetensors.ts";
import { assembleLegacy } from "../assemble.ts";
import { dataFile, hasData } from "../data.ts";
import { compare, type Golden, readGolden } from "../golden.ts";
import { syntheticTensor } from "../synthetic.ts";
import { transformerFile } from "../synthetic_model.ts";
import { type Ended, expectRefusal, kinema } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const MODEL = "tsm-mobilenetv2-online";
const files = new Workspace();
afterAll(() => files.remove());

let golden: Golden;
let weights: string;
let input: string;
beforeAll(async () => {
  golden = await readGolden(MODEL);
  weights = files.write("mobilenetv2_jester_online.pth.tar", await assembleLegacy(MODEL));
  input = files.input("video.safetensors", "video", golden.inputShape);
});

async function read(path: string): Promise<Map<string, NamedTensor>> {
  return readTensors(await openCheckpoint(await fileSource(path)));
}

/** PyTorch's tensors, the input and, over them, `change`d ones as a reference file. */
function reference(name: string, change: (tensors: Map<string, Float32Array>) => void = () => {}): string {
  const tensors = new Map([...golden.tensors].map(([key, data]) => [key, data.slice()]));
  change(tensors);
  const entries = [...tensors].map(
    ([key, data]) => [key, { dtype: "F32" as const, shape: [data.length], data }] as const,
  );
  const { inputName, inputShape, metadata } = golden;
  const video = { dtype: "F32" as const, shape: inputShape, data: syntheticTensor(inputName, inputShape) };
  return files.write(name, writeSafetensors({ ...Object.fromEntries(entries), [inputName]: video }, metadata));
}

describe("kinema run", () => {
  it("gives PyTorch's logits in Node and in Chromium, and the same in both", { timeout: 120_000 }, async () => {
    const logits: Float32Array[] = [];
    for (const place of ["node", "chromium"]) {
      const out = files.path(`${place}.safetensors`);
      const { code, stdout, stderr } = await kinema(
        ...["run", MODEL, "--weights", weights, "--in", input, "--out", out, "--on", place],
      );
      expect([code, stdout], stderr).toEqual([0, ""]);
      expect(stderr).toMatch(/^logits \[6, 27\] to .*; tsm-mobilenetv2-online on .+, prepare \d+ ms, run \d+ ms\n$/);
      const written = await read(out);
      expect([...written.keys()]).toEqual(["logits"]);
      expect(written.get("logits")!.shape).toEqual([6, 27]);
      logits.push(written.get("logits")!.data);
      const { max, cosine } = compare(logits.at(-1)!, golden.tensors.get("logits")!);
      expect(max).toBeLessThanOrEqual(1e-3);
      expect(cosine).toBeGreaterThanOrEqual(0.99999);
    }
    expect(compare(logits[0]!, logits[1]!).max).toBeLessThanOrEqual(1e-5);
  });

  it("keeps weights as f16 in a browser whose software adapter has no f16", { timeout: 60_000 }, async () => {
    const out = files.path("half");
    const args = ["run", MODEL, "--weights", weights, "--in", input, "--out", out, "--dtype", "f16"];
    const { code, stderr } = await kinema(...args, "--on", "chromium");
    expect([code, stderr]).toEqual([0, expect.stringContaining("logits")]);
    const logits = (await read(out)).get("logits")!.data;
    const { cosine } = compare(logits, golden.tensors.get("logits")!);
    expect(cosine).toBeGreaterThan(1 - 1.3e-5); // see test/naga/naga.test.ts
    expect(cosine).toBeLessThan(1);
  });
});

describe("kinema verify", () => {
  const verify = (path: string, ...more: string[]) =>
    kinema("verify", MODEL, "--weights", weights, "--reference", path, ...more);
  const lines = ({ stdout }: Ended) => stdout.trimEnd().split("\n");

  it("agrees with PyTorch, tensor by tensor, and ends with 0", { timeout: 60_000 }, async () => {
    const ended = await verify(reference("good.safetensors"));
    expect([ended.code, ended.stderr]).toEqual([0, ""]);
    const last = lines(ended).at(-1)!;
    const [, agree, all] = /^(\d+) of (\d+) tensors agree; tsm-mobilenetv2-online on .+$/.exec(last)!;
    expect(agree).toBe(all);
    expect(Number(all)).toBeGreaterThan(50);
    for (const name of ["stem", "blocks.9.expand", "logits"])
      expect(ended.stdout).toMatch(new RegExp(`^ok +${name} +off by .*, cosine 1\\.0000000$`, "m"));
  });

  it("names the first node that diverges, and one of another shape, and ends with 1", { timeout: 60_000 }, async () => {
    const perturbed = reference("perturbed.safetensors", (tensors) => {
      tensors.get("blocks.12.project")![3]! += 0.5;
      tensors.get("blocks.9.expand")![11]! += 0.25;
      tensors.set("pool", tensors.get("pool")!.slice(1));
      tensors.set("blocks.18.expand", new Float32Array(1));
    });
    const { code, stdout, stderr } = await verify(perturbed, "--on", "chromium", "--json");
    expect([code, stderr.trimEnd().split("\n")]).toEqual([
      1,
      [
        "not compared, as tsm-mobilenetv2-online has no such tensor: blocks.18.expand",
        expect.stringMatching(
          /^kinema: blocks\.9\.expand is the first node that diverges: off by 2\.5\de-1 where \S+ is allowed, cosine \S+$/,
        ),
      ],
    ]);
    const report = JSON.parse(stdout) as { errors: { name: string; ok: boolean; problem?: string }[] };
    expect(report).toMatchObject({ model: MODEL, ok: false, first: "blocks.9.expand", adapter: expect.any(String) });
    const failed = report.errors.filter(({ ok }) => !ok);
    expect(failed.map(({ name }) => name)).toEqual(["blocks.9.expand", "blocks.12.project", "pool"]);
    expect(failed[2]!.problem).toMatch(/^is \[6, 1280\], the reference holds \[\d+\]$/);
  });

  it("refuses a reference that names nothing of the model, at once", async () => {
    const args = ["verify", MODEL, "--weights", weights, "--reference", input];
    await expectRefusal(args, /video\.safetensors holds nothing to compare with; it needs at least "logits"/);
  });
});

describe("kinema inspect", () => {
  it("writes one JSON object about a checkpoint", async () => {
    const { code, stdout, stderr } = await kinema("inspect", weights, "--json");
    expect([code, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toMatchObject({
      container: "torch-legacy",
      model: MODEL,
      classes: 27,
      missingBytes: 0,
      tensorCount: 314,
      presentCount: 314,
      shifted: [3, 5, 6, 8, 9, 10, 12, 13, 15, 16].map((i) => `blocks.${i}.expand`),
    });
  });
});

describe("a transformer", () => {
  it("runs and verifies from the command line, and takes no other clip", {
    timeout: 240_000,
  }, async () => {
    const stam = files.write("stam.safetensors", transformerFile("stam", 6));
    const clip = files.input("clip.safetensors", "video", [4, 3, 24, 24]);
    const out = files.path("stam_out.safetensors");
    const ran = await kinema("run", "stam", "--weights", stam, "--in", clip, "--out", out);
    expect([ran.code, ran.stdout], ran.stderr).toEqual([0, ""]);
    expect(ran.stderr).toMatch(/^logits \[6\] to .*; stam on .+\n$/);
    const { shape, data } = (await read(out)).get("logits")!;
    expect(shape).toEqual([6]);
    const video = { dtype: "F32" as const, shape: [4, 3, 24, 24], data: syntheticTensor("video", [4, 3, 24, 24]) };
    const logits = { dtype: "F32" as const, shape: [6], data };
    const all = files.write("stam_reference.safetensors", writeSafetensors({ video, logits }));
    const checked = await kinema("verify", "stam", "--weights", stam, "--reference", all, "--set", "activations=1");
    expect(checked.stdout).toMatch(/^ok +logits +off by 0\.00e\+0 /m);
    const long = files.input("long.safetensors", "video", [5, 3, 24, 24]);
    const args = ["run", "stam", "--weights", stam, "--out", out, "--in"];
    await expectRefusal([...args, long], /clips have 4 frames .* 5 were asked for/);
    const large = files.input("large.safetensors", "video", [4, 3, 32, 24]);
    await expectRefusal([...args, large], /frames have 24x24 pixels .* 32x24 were asked for/);
  });
});

/** A .npy file of little-endian f32 in C order. */
function readNpy(path: string): { shape: number[]; data: Float32Array } {
  const bytes = readFileSync(path);
  const header = bytes.subarray(10, 10 + bytes.readUInt16LE(8)).toString("latin1");
  expect(header).toMatch(/'descr': '<f4', 'fortran_order': False/);
  const shape = /'shape': \(([^)]*)\)/
    .exec(header)![1]!
    .split(",")
    .filter((text) => text.trim())
    .map(Number);
  return { shape, data: new Float32Array(Uint8Array.from(bytes.subarray(10 + bytes.readUInt16LE(8))).buffer) };
}

const TENSORFLOW = "weights/mobilenet_v2_1.0_224_tf_fp32.safetensors";
const PAIRS = "golden/mobilenetv2_nhwc";

describe.skipIf(!hasData(TENSORFLOW, PAIRS))("the golden pairs of TensorFlow's MobileNetV2", () => {
  // Bytes keep the class, and move probabilities by less than a tenth.
  const kept = [
    ["f32", 0.003],
    ["int8", 0.1],
  ] as const;
  it.each(kept)(
    "agree with weights in %s: the same class first, probabilities within %d",
    { timeout: 120_000 },
    async (dtype, within) => {
      const pairs = [0, 1, 2].map((i) => ({
        input: readNpy(dataFile(`${PAIRS}/${i}/input_0.npy`)),
        output: readNpy(dataFile(`${PAIRS}/${i}/output_0.npy`)),
      }));
      const data = new Float32Array(3 * 3 * 224 * 224);
      for (const [n, { input: image }] of pairs.entries()) {
        expect(image.shape).toEqual([1, 224, 224, 3]);
        for (let i = 0; i < image.data.length; i++)
          data[(n * 3 + (i % 3)) * 224 * 224 + Math.floor(i / 3)] = image.data[i]!;
      }
      const images = files.write(
        "pairs.safetensors",
        writeSafetensors({ image: { dtype: "F32", shape: [3, 3, 224, 224], data } }),
      );
      const out = files.path("pairs_out.safetensors");
      const args = ["--weights", dataFile(TENSORFLOW), "--in", images, "--out", out, "--dtype", dtype];
      const { code, stderr } = await kinema("run", "mobilenetv2", ...args);
      expect(code, stderr).toBe(0);
      const { shape, data: logits } = (await read(out)).get("logits")!;
      expect(shape).toEqual([3, 1001]);
      for (const [n, { output }] of pairs.entries()) {
        const scores = softmax(logits.subarray(n * 1001, (n + 1) * 1001));
        const first = (values: ArrayLike<number>) => Array.from(values).indexOf(Math.max(...Array.from(values)));
        expect(output.data.length).toBe(1001);
        expect(first(scores)).toBe(first(output.data));
        expect(compare(scores, output.data).max).toBeLessThanOrEqual(within);
      }
    },
  );
});
