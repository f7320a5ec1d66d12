// A checkpoint that PyTorch wrote, opened, recognised, loaded and run: every TSM model, both containers.
import { describe, expect, it } from "vitest";
import { describeModel, loadSession } from "../src/classifier.ts";
import { wantedTensors } from "../src/core/graph.ts";
import { toChannelsLast } from "../src/core/tensor.ts";
import { buildModel, type ModelName } from "../src/models/index.ts";
import { type NamedTensor, runModel } from "../src/run.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { openTensors } from "../src/weights/load.ts";
import { recognise } from "../src/weights/recognise.ts";
import { assembleLegacy, assembleZip, type Container } from "./assemble.ts";
import { compare, type Golden, readGolden } from "./golden.ts";
import { useGpu } from "./gpu.ts";
import { syntheticTensor } from "./synthetic.ts";
import { syntheticFile } from "./synthetic_model.ts";

const fixture = useGpu();

interface Fact {
  /** The authors' file name, which says what the keys do not. */
  readonly file: string;
  readonly classes: number;
  readonly segments: number | null;
  /** How many units the shift precedes, the first of them and the last. */
  readonly shifted: readonly [count: number, first: string, last: string];
}

const FACTS: Readonly<Record<string, Fact>> = {
  "tsm-mobilenetv2": {
    file: "TSM_kinetics_RGB_mobilenetv2_shift8_blockres_avg_segment8_e100_dense.pth",
    classes: 400,
    segments: 8,
    shifted: [10, "blocks.3.expand", "blocks.16.expand"],
  },
  "tsm-mobilenetv2-online": {
    file: "mobilenetv2_jester_online.pth.tar",
    classes: 27,
    segments: null,
    shifted: [10, "blocks.3.expand", "blocks.16.expand"],
  },
  "tsm-resnet50": {
    file: "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment16_e50.pth",
    classes: 400,
    segments: 16,
    shifted: [16, "layer1.0.conv1", "layer4.2.conv1"],
  },
  "tsm-resnet101": {
    file: "TSM_somethingv2_RGB_resnet101_shift8_blockres_avg_segment8_e45.pth",
    classes: 174,
    segments: 8,
    shifted: [18, "layer1.0.conv1", "layer4.2.conv1"],
  },
  "tsm-resnet50-nl": {
    file: "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e100_dense_nl.pth",
    classes: 400,
    segments: 8,
    shifted: [16, "layer1.0.conv1", "layer4.2.conv1"],
  },
};

const CASES = Object.keys(FACTS).flatMap((model) => [[model, "zip"] as const, [model, "legacy"] as const]);
const isResNet = (model: string) => model.includes("resnet");

const open = async (model: string, container: Container): Promise<Checkpoint> => {
  const bytes = await (container === "zip" ? assembleZip : assembleLegacy)(model);
  return openCheckpoint(fromBytes(bytes, FACTS[model]!.file));
};

const inputOf = ({ inputName, inputShape }: Golden) =>
  toChannelsLast(syntheticTensor(inputName, inputShape), inputShape);

/**
 * Runs the checkpoint at the golden's size, configured by nothing but itself, and compares the logits. In the tiles of a
 * real GPU, whatever the adapter: test/model.test.ts runs the same models in the adapter's own.
 */
async function checkLogits(checkpoint: Checkpoint, golden: Golden): Promise<void> {
  const [frames, , height, width] = golden.inputShape;
  using session = await loadSession(fixture.as("gpu"), checkpoint, { frames, height, width });
  const { logits } = await session.run({ [golden.inputName]: inputOf(golden) });
  const { max, cosine } = compare(logits!, golden.tensors.get("logits")!);
  expect(max).toBeLessThanOrEqual(1e-3);
  expect(cosine).toBeGreaterThanOrEqual(0.99999);
}

/** Every tensor the model wants arrives bit for bit as it was drawn. */
async function checkTensors(checkpoint: Checkpoint): Promise<void> {
  const { description, recognised } = describeModel(checkpoint);
  const wanted = wantedTensors(buildModel(description));
  const tensors = openTensors(checkpoint, wanted, recognised.tensors);
  expect([...tensors.keys()].length).toBe(wanted.size);
  for (const [name, shape] of wanted) {
    const [got, want] = [(await tensors.get(name))!, syntheticTensor(name, shape)];
    const same = Buffer.compare(Buffer.from(got.buffer, got.byteOffset, got.byteLength), Buffer.from(want.buffer));
    expect(same, name).toBe(0);
  }
}

describe("checkpoints that PyTorch wrote", () => {
  it.each(CASES)("%s, %s", { timeout: 60_000 }, async (model, container) => {
    const checkpoint = await open(model, container);
    const fact = FACTS[model]!;
    expect(checkpoint).toMatchObject({ container: `torch-${container}`, missingBytes: 0 });
    const found = recognise(checkpoint);
    const { classes, segments } = fact;
    expect(found).toMatchObject({ model, classes, segments, shiftDivisor: 8, padding: "symmetric", folded: false });
    expect(found.unknown).toEqual([]);
    expect([found.shifted.length, found.shifted[0], found.shifted.at(-1)]).toEqual(fact.shifted);
    // A ResNet takes seconds to run: once by default, as its other container holds the same bits.
    const once = isResNet(model) && container === "legacy" && !process.env.KINEMA_LONG;
    if (once) await checkTensors(checkpoint);
    else await checkLogits(checkpoint, await readGolden(model));
  });
});

describe("the online model", () => {
  it.each(["cpu", "gpu"] as const)(
    "frame by frame equals the clip, bit for bit, %s tiles",
    async (kind) => {
      const gpu = fixture.as(kind);
      const golden = await readGolden("tsm-mobilenetv2-online");
      const checkpoint = await open("tsm-mobilenetv2-online", "legacy");
      const [frames, , height, width] = golden.inputShape;
      const video = inputOf(golden);
      using clip = await loadSession(gpu, checkpoint, { frames, height, width });
      const offline = (await clip.run({ video })).logits!;
      using stream = await loadSession(gpu, checkpoint, { height, width });
      const push = async (frame: number) =>
        (
          await stream.run({
            video: video.slice((frame * video.length) / frames, ((frame + 1) * video.length) / frames),
          })
        ).logits!;
      const online = new Float32Array(offline.length);
      for (let frame = 0; frame < frames; frame++) online.set(await push(frame), (frame * online.length) / frames);
      const bits = (logits: Float32Array) => Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength);
      expect(Buffer.compare(bits(online), bits(offline))).toBe(0);
      // The state matters: without the frame before, the third frame's logits are others.
      stream.reset();
      const alone = await push(2);
      expect(compare(alone, offline.slice(2 * alone.length, 3 * alone.length)).max).toBeGreaterThan(1e-2);
    },
    60_000,
  );
});

describe("named tensors in, named tensors out", () => {
  const run = async (
    model: ModelName,
    classes: number | null,
    name: string,
    shape: readonly number[],
    taps: string[],
  ) => {
    const checkpoint = await openCheckpoint(fromBytes(syntheticFile(model, classes), `${model}.safetensors`));
    const input = { shape, data: Float32Array.from(syntheticTensor(name, shape)) };
    const { tensors } = await runModel(fixture.as("gpu"), checkpoint, new Map([[name, input]]), { taps });
    return tensors;
  };
  const shapes = (tensors: ReadonlyMap<string, NamedTensor>) => [...tensors].map(([name, { shape }]) => [name, shape]);

  it("gives the features of an image model without a classifier", { timeout: 60_000 }, async () => {
    const golden = await readGolden("mobilenetv2");
    const tensors = await run("mobilenetv2", null, "image", golden.inputShape, []);
    expect(shapes(tensors)).toEqual([["features", [2, 1280]]]);
    const stride = Number(golden.metadata["stride:pool"]);
    const { max, cosine } = compare(
      tensors.get("features")!.data.filter((_, i) => i % stride === 0),
      golden.tensors.get("pool")!,
    );
    expect(max).toBeLessThanOrEqual(1e-3);
    expect(cosine).toBeGreaterThanOrEqual(0.99999);
  });

  it("keeps the axis of frames where logits are per frame, one frame too", { timeout: 60_000 }, async () => {
    const image = await run("mobilenetv2", 7, "image", [1, 3, 33, 41], ["head", "pool"]);
    expect(shapes(image)).toEqual([
      ["pool", [1, 1280]],
      ["head", [1, 7]],
      ["logits", [1, 7]],
    ]);
    expect(image.get("head")!.data).toEqual(image.get("logits")!.data);
    const online = await run("tsm-mobilenetv2-online", 6, "video", [1, 3, 33, 41], []);
    expect(shapes(online)).toEqual([["logits", [1, 6]]]);
    const clip = await run("tsm-mobilenetv2", 5, "video", [2, 3, 33, 41], ["head"]);
    expect(shapes(clip)).toEqual([
      ["head", [2, 5]],
      ["logits", [5]],
    ]);
  });
});
