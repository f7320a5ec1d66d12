// STAM at full size against PyTorch, and its stream against its clip: minutes, so only with KINEMA_LONG=1, and where
// KINEMA_REFERENCES names a folder with stam_8.pth and stam_8.safetensors (stam_16 likewise) of export_checkpoint.py.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadSession } from "../src/classifier.ts";
import { compareTensors, stridesOf } from "../src/compare.ts";
import { toChannelsLast } from "../src/core/tensor.ts";
import { fileSource } from "../src/host/file_source.ts";
import { readTensors, runModel } from "../src/run.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { compare } from "./golden.ts";
import { useGpu } from "./gpu.ts";

const folder = process.env.KINEMA_REFERENCES ?? "";
const at = (name: string) => join(folder, name);
const there = (frames: number) =>
  process.env.KINEMA_LONG !== undefined &&
  folder !== "" &&
  existsSync(at(`stam_${frames}.pth`)) &&
  existsSync(at(`stam_${frames}.safetensors`));
const TIMEOUT = 40 * 60_000;

describe("stam at full size", () => {
  const fixture = useGpu();
  const open = async (name: string) => openCheckpoint(await fileSource(at(name)));

  const agrees = async (frames: number) => {
    const [checkpoint, file] = [await open(`stam_${frames}.pth`), await open(`stam_${frames}.safetensors`)];
    const want = await readTensors(file);
    const inputs = new Map([["video", want.get("video")!]]);
    const { tensors } = await runModel(fixture.gpu, checkpoint, inputs, { taps: [...want.keys()] });
    const errors = compareTensors(tensors, want, stridesOf(file.metadata));
    expect(errors.length).toBe(want.size - 1);
    expect(errors.filter(({ ok }) => !ok)).toEqual([]);
    const logits = errors.find(({ name }) => name === "logits")!;
    expect(logits.max).toBeLessThanOrEqual(1e-3);
    expect(logits.cosine).toBeGreaterThanOrEqual(0.99999);
  };
  it.skipIf(!there(8))("8 frames: agrees with PyTorch, layer by layer", () => agrees(8), TIMEOUT);
  it.skipIf(!there(16))("16 frames: agrees with PyTorch, layer by layer", () => agrees(16), TIMEOUT);

  it.skipIf(!there(8))(
    "8 frames: the stream equals the clip",
    async () => {
      const checkpoint = await open("stam_8.pth");
      const { data } = (await readTensors(await open("stam_8.safetensors"), ["video"])).get("video")!;
      const video = toChannelsLast(data, [8, 3, 224, 224]);
      const size = video.length / 8;
      let online = new Float32Array();
      {
        using stream = await loadSession(fixture.gpu, checkpoint, { frames: 1 });
        for (let t = 0; t < 8; t++)
          online = (await stream.run({ video: video.slice(t * size, (t + 1) * size) })).logits!;
      }
      using clip = await loadSession(fixture.gpu, checkpoint);
      expect(compare(online, (await clip.run({ video })).logits!).max).toBeLessThanOrEqual(1e-5);
    },
    TIMEOUT,
  );
});
