// PNG files in the place of tensors, where a model takes or gives pictures.
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fail } from "../core/fail.ts";
import { temporary } from "../host/exit.ts";
import { readPng, writePng } from "../host/png.ts";
import type { NamedTensor } from "../run.ts";
import { writeSafetensors } from "../weights/safetensors.ts";

export const isPng = (path: string): boolean => /\.png$/i.test(path);

/** Runs `work` on a safetensors file that holds the picture as `image` [1, 3, height, width], values from 0 to 1. */
export async function withPicture<T>(path: string, work: (input: string) => Promise<T>): Promise<T> {
  const bytes = await readFile(path).catch((error) => fail("usage", `${path} cannot be read: ${error.message}`));
  const { width, height, rgb } = readPng(bytes, path);
  const plane = width * height;
  const data = Float32Array.from({ length: 3 * plane }, (_, i) => rgb[3 * (i % plane) + Math.floor(i / plane)]! / 255);
  const folder = await mkdtemp(join(tmpdir(), "kinema-picture-"));
  const discard = temporary(folder);
  try {
    const input = join(folder, basename(path));
    await writeFile(input, writeSafetensors({ image: { dtype: "F32", shape: [1, 3, height, width], data } }));
    return await work(input);
  } finally {
    discard();
  }
}

/** Pictures [N, 3, height, width] beside each other in a PNG file: 0 is black, 1 is full, what lies beyond is cut. */
export function drawPictures({ shape, data }: NamedTensor): Uint8Array {
  const [count, , height, width] = shape as [number, number, number, number];
  const rgb = new Uint8Array(3 * count * width * height);
  for (let i = 0; i < rgb.length; i++) {
    const [c, pixel] = [i % 3, Math.floor(i / 3)];
    const [x, y] = [pixel % (count * width), Math.floor(pixel / (count * width))];
    const value = data[((Math.floor(x / width) * 3 + c) * height + y) * width + (x % width)]!;
    rgb[i] = Math.round(255 * Math.min(1, Math.max(0, value)));
  }
  return writePng({ width: count * width, height, rgb });
}
