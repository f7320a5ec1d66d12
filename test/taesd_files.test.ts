// Files of latent auto-encoders and their inputs: what is read, and what is refused in one line.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { describeModel, loadSession, openModel } from "../src/classifier.ts";
import { halfBits } from "../src/core/half.ts";
import { elements, extent } from "../src/core/tensor.ts";
import { runModel } from "../src/run.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { recognise } from "../src/weights/recognise.ts";
import { useGpu } from "./gpu.ts";
import { half, latentFile, latentInput, type Shape4, type Tensors, tensorsOf } from "./latent_model.ts";

const fixture = useGpu();

const VIDEO = half("taesdv-decoder", { widths: [12], memory: true });

describe("files and inputs", () => {
  const refused = async (work: Promise<unknown> | (() => unknown)): Promise<string> => {
    const message = await Promise.resolve(typeof work === "function" ? Promise.resolve().then(work) : work).then(
      () => "accepted",
      (error: Error) => error.message,
    );
    expect(message).not.toContain("\n");
    return message;
  };

  it("a zip of torch.save in f16 is read bit for bit", async () => {
    const bytes = readFileSync(new URL("./golden/models/taesd-half.pth", import.meta.url));
    const file = await openCheckpoint(fromBytes(new Uint8Array(bytes), "taesd-half.pth"));
    expect([file.container, file.tensors.size]).toEqual(["torch-zip", 67]);
    const latents = half("taesd-decoder", { widths: [4] });
    const { model, latents: found, tensors: names } = recognise(file);
    expect([model, found]).toEqual(["taesd-decoder", { decoder: latents }]);
    for (const [name, { data }] of tensorsOf(latents)) {
      const stored = await file.readF32(names.get(name)!);
      expect(Uint16Array.from(stored, halfBits), name).toEqual(Uint16Array.from(data, halfBits));
    }
    const { tensors } = await runModel(fixture.gpu, file, latentInput("latent", [1, 4, 1, 2]));
    expect(tensors.get("image")!.shape).toEqual([1, 3, 8, 16]);
  });

  it("a file of both halves gives either", async () => {
    const [encoder, decoder] = [half("taesd-encoder", { widths: [8] }), VIDEO];
    const both = await latentFile(new Map([...tensorsOf(encoder), ...tensorsOf(decoder)]), "taesdv.safetensors");
    expect(recognise(both)).toMatchObject({ model: "taesdv-decoder", latents: { encoder, decoder }, unknown: [] });
    const image = latentInput("image", [1, 3, 8, 16]);
    const { tensors } = await runModel(fixture.gpu, both, image, { model: "taesd-encoder" });
    expect(tensors.get("latent")!.shape).toEqual([1, 4, 1, 2]);
    expect(await refused(() => describeModel(both, { model: "taehv-decoder" }))).toBe(
      "taesdv.safetensors holds taesd-encoder and taesdv-decoder, not taehv-decoder; give the model's own file",
    );
    const session = await loadSession(fixture.gpu, both, { height: 8, width: 8 });
    const { video } = session.plan.graph.outputs;
    expect([extent(video!.spec, 0), elements(video!.spec)]).toEqual([1, 192]);
    session.dispose();
  });

  it("what does not fit is refused in one line", async () => {
    const encoder = await latentFile(tensorsOf(half("taesd-encoder", { widths: [8] })), "e.safetensors");
    const run = (file: Checkpoint, name: string, shape: Shape4) =>
      runModel(fixture.gpu, file, latentInput(name, shape));
    expect(await refused(run(encoder, "image", [1, 3, 20, 16]))).toBe(
      "e.safetensors: a picture of 16x20 pixels does not divide into latents of 8x8; crop or pad it to multiples of 8",
    );
    expect(await refused(run(encoder, "latent", [1, 4, 2, 2]))).toMatch(
      /^taesd-encoder needs a tensor named "image" \[N, 3, H, W\]; the input file has latent$/,
    );
    const decoder = await latentFile(tensorsOf(VIDEO), "d.safetensors");
    expect(await refused(run(decoder, "latent", [1, 16, 2, 2]))).toMatch(
      /^taesdv-decoder takes "latent" as \[frames, 4, height, width\], got \[1, 16, 2, 2\]$/,
    );
    const shuffled = half("taehv-encoder", { widths: [8], memory: true, time: [2, 2, 1], shuffle: 2 });
    const wide = await latentFile(tensorsOf(shuffled), "w.safetensors");
    expect(await refused(run(wide, "video", [4, 3, 16, 24]))).toMatch(/24x16 pixels .* latents of 16x16; crop or pad/);
    expect(await refused(() => describeModel(wide, { frames: 6 }))).toMatch(/^w.*: 6 frames .* latents of 4; repeat/);
  });

  it("members that Kinema does not build are named", async () => {
    const filled = (shapes: Record<string, number[]>): Tensors =>
      new Map(
        Object.entries(shapes).map(([name, shape]) => [
          name,
          { shape, data: new Float32Array(shape.reduce((a, b) => a * b)) },
        ]),
      );
    const sana = await latentFile(
      filled({
        ...{ "0.weight": [32, 3, 3, 3], "2.weight": [64, 32, 3, 3], "4.conv.0.weight": [64, 64, 3, 3] },
        ...{ "5.weight": [64, 64, 3, 3], "17.weight": [32, 64, 3, 3] },
      }),
      "taesana_encoder.pth",
    );
    expect(await refused(() => describeModel(sana))).toBe(
      "taesana_encoder.pth is no taesd-encoder that Kinema can run: it is the SANA member of the family (32 pixels a latent), which Kinema does not build",
    );
    const wide = await latentFile(
      filled({ "1.weight": [256, 32, 3, 3], "3.conv.0.weight": [256, 256, 3, 3], "7.weight": [128, 256, 3, 3] }),
    );
    expect(await refused(() => describeModel(wide))).toMatch(/is no taesd-decoder .* SANA member/);
    const deep = await latentFile(
      filled({ "decoder.0.weight": [512, 48, 1, 1], "decoder.1.conv.0.weight": [1024, 1, 7, 7] }),
    );
    expect(await refused(() => describeModel(deep))).toMatch(
      /is no taehv-decoder .* “super” decoder \(depthwise 7x7\)/,
    );
    const tensors = tensorsOf(half("taesd-decoder", { widths: [8] }));
    tensors.delete("decoder.9.conv.2.bias");
    tensors.set("decoder.12.weight", { shape: [8, 9, 3, 3], data: new Float32Array(648) });
    tensors.set("decoder.40.weight", { shape: [1], data: new Float32Array(1) });
    const damaged = await latentFile(tensors, "damaged.safetensors");
    expect(await refused(() => openModel(damaged, { height: 16, width: 16 }))).toMatch(
      /1 missing: decoder\.9\.conv\.2\.bias; 1 unused: decoder\.40\.weight; 1 wrong shape: decoder\.12\.weight is \[8,9,3,3\]/,
    );
    const torn = tensorsOf(half("taehv-decoder", { widths: [12, 8, 8, 4], memory: true, time: [1, 2, 2] }));
    torn.delete("decoder.13.conv.weight");
    expect(await refused(async () => describeModel(await latentFile(torn)))).toMatch(/contradict each other/);
  });
});
