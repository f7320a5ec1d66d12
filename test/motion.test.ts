// The weights that ship, against PyTorch: every unit, online frame by frame and offline over the clip.
import { readFileSync } from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { labelsOf, loadSession, preprocessingOf } from "../src/classifier.ts";
import { compareTensors, stridesOf } from "../src/compare.ts";
import { toChannelsLast } from "../src/core/tensor.ts";
import { readTensors, runModel } from "../src/run.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { recognise } from "../src/weights/recognise.ts";
import { useGpu } from "./gpu.ts";

const open = (file: string): Promise<Checkpoint> =>
  openCheckpoint(fromBytes(new Uint8Array(readFileSync(new URL(`../${file}`, import.meta.url))), file));

const fixture = useGpu();
let weights: Checkpoint;
let golden: Checkpoint;
beforeAll(async () => {
  [weights, golden] = await Promise.all([
    open("weights/kinema-motion.safetensors"),
    open("test/golden/models/kinema-motion.safetensors"),
  ]);
});

it("says what it is: an online model with 16 named classes, for small frames, in at most 6 MB", () => {
  const recognised = recognise(weights);
  expect(recognised).toMatchObject({ model: "tsm-mobilenetv2-online", classes: 16, folded: true, unknown: [] });
  expect(recognised.shifted).toHaveLength(10);
  expect(new Set(labelsOf(weights))).toHaveProperty("size", 16);
  const { resize, crop } = preprocessingOf(weights, recognised);
  expect(crop).toBeLessThanOrEqual(resize);
  expect(weights.size).toBeLessThanOrEqual(6e6);
});

it("agrees with PyTorch in every unit, frame by frame", async () => {
  const result = await runModel(fixture.gpu, weights, await readTensors(golden, ["video"]), {
    taps: [...golden.tensors.keys()],
  });
  const want = await readTensors(golden);
  const errors = compareTensors(result.tensors, want, stridesOf(golden.metadata));
  expect(errors.length).toBeGreaterThan(50);
  expect(errors.filter(({ ok }) => !ok)).toEqual([]);
}, 60_000);

it("gives over the clip what it gives frame by frame, bit for bit", async () => {
  const video = (await readTensors(golden, ["video"])).get("video")!;
  const [frames, , height, width] = video.shape as [number, number, number, number];
  const online = (await runModel(fixture.gpu, weights, new Map([["video", video]]))).tensors.get("logits")!;
  using clip = await loadSession(fixture.gpu, weights, { frames, height, width });
  const { logits } = await clip.run({ video: toChannelsLast(video.data, [frames, 3, height, width]) });
  expect(logits).toEqual(online.data);
}, 60_000);
