// DeiT-Tiny with its real weights on real frames, against PyTorch (tools/reference/export_deit.py).
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { preprocessingOf } from "../src/classifier.ts";
import { fileSource } from "../src/host/file_source.ts";
import { runModel } from "../src/run.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { recognise } from "../src/weights/recognise.ts";
import { clipImages } from "../tools/reference/clip_frames.ts";
import { dataFile, hasData } from "./data.ts";
import { compare } from "./golden.ts";
import { useGpu } from "./gpu.ts";

const WEIGHTS = "weights/deit_tiny_patch16_224_fp32.safetensors";
const CLIPS = ["clips/sam2-01_dog.mp4", "clips/sam2-04_coffee.mp4"];
const CLASSES = 1000;

describe.skipIf(!hasData(WEIGHTS, ...CLIPS))("DeiT-Tiny on real frames", () => {
  const fixture = useGpu();

  it("gives PyTorch's logits", { timeout: 180_000 }, async () => {
    const bytes = readFileSync(new URL("./golden/models/deit-tiny.safetensors", import.meta.url));
    const golden = await openCheckpoint(fromBytes(new Uint8Array(bytes), "deit-tiny.safetensors"));
    const wanted = await golden.readF32("logits");
    const checkpoint = await openCheckpoint(await fileSource(dataFile(WEIGHTS)));
    const clips = (JSON.parse(golden.metadata.frames!) as [string, number[]][]).map(([name, indices]) => ({
      path: dataFile(`clips/${name}`),
      indices,
    }));
    const preprocessing = preprocessingOf(checkpoint, recognise(checkpoint));
    expect(preprocessing).toMatchObject({ resize: 256, crop: 224, filter: "bicubic", mean: [0.485, 0.456, 0.406] });
    const image = await clipImages(clips, preprocessing);
    const { tensors } = await runModel(fixture.gpu, checkpoint, new Map([["image", image]]));
    const { shape, data } = tensors.get("logits")!;
    expect(shape).toEqual([wanted.length / CLASSES, CLASSES]);
    const { max, cosine } = compare(data, wanted);
    // Another browser may turn YUV into other RGB, a level or two away; then the input is not the one PyTorch had.
    const same =
      createHash("sha256").update(new Uint8Array(image.data.buffer)).digest("hex") === golden.metadata.sha256;
    expect(max).toBeLessThanOrEqual(same ? 1e-3 : 0.5);
    expect(cosine).toBeGreaterThanOrEqual(same ? 0.99999 : 0.99);
  });
});
