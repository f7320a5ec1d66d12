// Latent auto-encoders from the command line: pictures in, latents, pictures out, and layer by layer against tensors.
import { readFileSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import { fileSource } from "../../src/host/file_source.ts";
import { readPng, writePng } from "../../src/host/png.ts";
import { readTensors } from "../../src/run.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { writeSafetensors } from "../../src/weights/safetensors.ts";
import { half, type Tensors, tensorsOf } from "../latent_model.ts";
import { expectRefusal, kinema } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const fileOf = (name: string, tensors: Tensors): string =>
  files.write(
    name,
    writeSafetensors(
      Object.fromEntries(
        [...tensors].map(([key, { shape, data }]) => [key, { dtype: "F32", shape: [...shape], data }]),
      ),
    ),
  );
const encoder = fileOf("encoder.safetensors", tensorsOf(half("taesd-encoder", { widths: [8] })));
const decoder = fileOf("decoder.safetensors", tensorsOf(half("taesd-decoder", { widths: [8] })));
const [width, height] = [24, 16];
const rgb = Uint8Array.from({ length: 3 * width * height }, (_, i) => (7 * i) % 256);
const picture = files.write("picture.png", writePng({ width, height, rgb }));

async function succeed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await kinema(...args);
  expect([code, stdout], stderr).toEqual([0, ""]);
  return stderr;
}

const read = async (path: string) => readTensors(await openCheckpoint(await fileSource(path)));

it("a picture becomes latents and a picture again", { timeout: 180_000 }, async () => {
  const latent = files.path("latent.safetensors");
  const said = await succeed("run", "taesd-encoder", "--weights", encoder, "--in", picture, "--out", latent);
  expect(said).toMatch(/^latent \[1, 4, 2, 3\] to .*; taesd-encoder on /);
  const image = files.path("image.safetensors");
  const png = files.path("image.png");
  for (const out of [image, png])
    await succeed("run", "taesd-decoder", "--weights", decoder, "--in", latent, "--out", out);
  const { shape, data } = (await read(image)).get("image")!;
  expect(shape).toEqual([1, 3, height, width]);
  const drawn = readPng(readFileSync(png), png);
  expect([drawn.width, drawn.height]).toEqual([width, height]);
  const plane = width * height;
  const levels = Array.from({ length: 3 * plane }, (_, i) => {
    const value = data[(i % 3) * plane + Math.floor(i / 3)]!;
    return Math.round(255 * Math.min(1, Math.max(0, value)));
  });
  expect([...drawn.rgb]).toEqual(levels);
});

it("verify holds every layer against tensors, in Chromium as in Node", { timeout: 180_000 }, async () => {
  const latent = files.path("reference_latent.safetensors");
  await succeed("run", "taesd-encoder", "--weights", encoder, "--in", picture, "--out", latent);
  const image = { shape: [1, 3, height, width], data: new Float32Array(3 * width * height) };
  for (let i = 0; i < image.data.length; i++)
    image.data[i] = rgb[3 * (i % (width * height)) + Math.floor(i / (width * height))]! / 255;
  const { shape, data } = (await read(latent)).get("latent")!;
  const tensors = {
    image: { dtype: "F32" as const, ...image },
    latent: { dtype: "F32" as const, shape: [...shape], data },
  };
  const reference = files.write("reference.safetensors", writeSafetensors(tensors));
  const args = ["verify", "taesd-encoder", "--weights", encoder, "--reference", reference];
  const { code, stdout, stderr } = await kinema(...args, "--on", "chromium");
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^ok +latent +off by .*\n1 of 1 tensors agree; taesd-encoder on /);
  data[3]! += 1;
  const wrong = files.write("wrong.safetensors", writeSafetensors(tensors));
  expect((await kinema(...args.slice(0, -1), wrong)).stderr).toMatch(/latent is the first node that diverges/);
});

it("says what takes and gives no picture", { timeout: 60_000 }, async () => {
  const out = ["--out", files.path("x.png")];
  await expectRefusal(
    ["run", "taesd-encoder", "--weights", encoder, "--in", picture, ...out],
    /taesd-encoder gives latent, which is no picture; give --out a \.safetensors file/,
  );
  await expectRefusal(
    ["run", "taesd-decoder", "--weights", decoder, "--in", picture, ...out],
    /taesd-decoder takes no \.png; give --in a safetensors file with "latent"/,
  );
  for (const out of [encoder, picture])
    await expectRefusal(
      ["run", "taesd-encoder", "--weights", encoder, "--in", picture, "--out", out],
      /is read itself; give --out another name/,
    );
  const broken = files.write("broken.png", new Uint8Array(30));
  const safe = ["--out", files.path("x.safetensors")];
  await expectRefusal(
    ["run", "taesd-encoder", "--weights", encoder, "--in", broken, ...safe],
    /broken\.png: is no PNG file; write the picture again/,
  );
  await expectRefusal(
    ["run", "taesd-encoder", "--weights", decoder, "--in", picture, ...safe],
    /decoder\.safetensors holds taesd-decoder, not taesd-encoder; give the model's own file/,
  );
});
