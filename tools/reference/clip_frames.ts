// Frames of a video file as a network's input [N, 3, side, side] in PyTorch's order: decoded in Chromium, scaled as PIL does.
//   node tools/run.mjs tools/reference/clip_frames.ts OUT.safetensors WEIGHTS VIDEO:INDEX,INDEX,... [VIDEO:INDEX,... ...]
// A number in the place of WEIGHTS: the short side is scaled to it, the centre cropped to a square, values from 0 to 1.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { build } from "esbuild";
import { preprocessingOf } from "../../src/classifier.ts";
import { launchBrowser } from "../../src/host/chromium.ts";
import { fileSource } from "../../src/host/file_source.ts";
import { openPage } from "../../src/host/page.ts";
import { type Preprocessing, place } from "../../src/video/geometry.ts";
import { cropPil, normalise } from "../../src/video/pil.ts";
import type { RgbaFrame } from "../../src/video/rgba.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { recognise } from "../../src/weights/recognise.ts";
import { writeSafetensors } from "../../src/weights/safetensors.ts";

/** Frames of a clip, in increasing order. */
export interface ClipFrames {
  readonly path: string;
  readonly indices: readonly number[];
}

/** The frames of all clips as f32 [N, 3, side, side]. */
export async function clipImages(
  clips: readonly ClipFrames[],
  preprocessing: Preprocessing,
): Promise<{ shape: [number, number, number, number]; data: Float32Array<ArrayBuffer> }> {
  const folder = await mkdtemp(join(tmpdir(), "kinema-frames-"));
  const bundle = join(folder, "frames.js");
  const entryPoints = [join(process.cwd(), "tools/reference/page/frames.ts")];
  await build({ entryPoints, outfile: bundle, bundle: true, format: "esm", target: "es2022", logLevel: "error" });
  const browser = await launchBrowser();
  const side = preprocessing.crop;
  const images: Float32Array[] = [];
  try {
    const page = await openPage(browser, { bundle });
    for (const { path, indices } of clips) {
      const frames = await page.call<RgbaFrame[]>("frames", { url: page.file(path), indices });
      for (const { data, width, height } of frames) {
        const pixels = normalise(cropPil(data, place({ width, height }, preprocessing)), preprocessing);
        const planes = [0, 1, 2].map((c) => Float32Array.from({ length: side * side }, (_, i) => pixels[4 * i + c]!));
        images.push(...planes);
      }
    }
    await page.close();
  } finally {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  }
  const joined = new Float32Array(images.length * side * side);
  for (const [i, plane] of images.entries()) joined.set(plane, i * side * side);
  return { shape: [images.length / 3, 3, side, side], data: joined };
}

/** Frames as a latent auto-encoder takes them. */
export const squares = (side: number): Preprocessing => ({
  ...{ resize: side, crop: side, filter: "bilinear" },
  ...{ mean: [0, 0, 0], std: [1, 1, 1] },
});

async function preprocessingFor(weights: string): Promise<Preprocessing> {
  const checkpoint = await openCheckpoint(await fileSource(weights));
  return preprocessingOf(checkpoint, recognise(checkpoint));
}

if (process.argv[1]?.includes("clip_frames")) {
  const [out, weights, ...clips] = process.argv.slice(2);
  const preprocessing = /^\d+$/.test(weights!) ? squares(Number(weights)) : await preprocessingFor(weights!);
  const wanted = clips.map((clip) => {
    const [path, list] = clip.split(":") as [string, string];
    return { path, indices: list.split(",").map(Number) };
  });
  const { shape, data } = await clipImages(wanted, preprocessing);
  const frames = JSON.stringify(wanted.map(({ path, indices }) => [basename(path), indices]));
  await writeFile(out!, writeSafetensors({ image: { dtype: "F32", shape, data } }, { frames }));
  console.log(`${out}: image [${shape}]`);
}
