// Frames of a browser through FrameIngest, each also as RGBA bytes through PIL's filter.
import { type Gpu, openGpu } from "../../../src/gpu/device.ts";
import type { GpuRange } from "../../../src/session.ts";
import { type Preprocessing, place, type Rotation } from "../../../src/video/geometry.ts";
import { type Frame, FrameIngest, type IngestOptions, type Orientation } from "../../../src/video/ingest.ts";
import { cropPil } from "../../../src/video/pil.ts";
import { readRgba } from "../../../src/video/rgba.ts";
import { recordCreations } from "../../creations.ts";
import { smoothFrame } from "../../video/frames.ts";

/** Values are grey levels. */
const LEVELS: Preprocessing = { resize: 104, crop: 96, mean: [0, 0, 0], std: [1 / 255, 1 / 255, 1 / 255] };

export interface VideoFrameCase {
  readonly format: "RGBA" | "I420";
  readonly width: number;
  readonly height: number;
  readonly rotation?: Rotation;
  readonly flip?: boolean;
}

/** A smooth opaque picture. */
function picture(width: number, height: number): Uint8Array<ArrayBuffer> {
  return smoothFrame(width, height).map((value, i) => (i % 4 === 3 ? 255 : value));
}

/** 4:2:0 planes of an RGBA picture: BT.709, limited range; chroma is the mean of 2 x 2 pixels. */
function planes(rgba: Uint8Array, width: number, height: number): Uint8Array<ArrayBuffer> {
  const [halfWidth, halfHeight] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const bytes = new Uint8Array(width * height + 2 * halfWidth * halfHeight);
  const colour = (x: number, y: number) => {
    const at = (Math.min(y, height - 1) * width + Math.min(x, width - 1)) * 4;
    const [r, g, b] = [rgba[at]! / 255, rgba[at + 1]! / 255, rgba[at + 2]! / 255];
    const luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    return [luma, (b - luma) / 1.8556, (r - luma) / 1.5748] as const;
  };
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) bytes[y * width + x] = Math.round(16 + 219 * colour(x, y)[0]);
  for (let y = 0; y < halfHeight; y++)
    for (let x = 0; x < halfWidth; x++)
      for (const part of [1, 2] as const) {
        const four = [0, 1, 2, 3].map((k) => colour(2 * x + (k & 1), 2 * y + (k >> 1))[part]);
        const mean = four.reduce((sum, value) => sum + value, 0) / 4;
        bytes[width * height + (part - 1) * halfWidth * halfHeight + y * halfWidth + x] = Math.round(128 + 224 * mean);
      }
  return bytes;
}

function makeFrame({ format, width, height }: VideoFrameCase): VideoFrame {
  const rgba = picture(width, height);
  const size = { codedWidth: width, codedHeight: height, timestamp: 0 };
  if (format === "RGBA") return new VideoFrame(rgba, { format, ...size });
  const colorSpace = { matrix: "bt709", primaries: "bt709", transfer: "bt709", fullRange: false } as const;
  return new VideoFrame(planes(rgba, width, height), { format, ...size, colorSpace });
}

function makeTarget({ device }: Gpu): GpuRange {
  const size = LEVELS.crop ** 2 * 16;
  return {
    buffer: device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC }),
    offset: 0,
    size,
  };
}

async function ingest(gpu: Gpu, frame: Frame, form: IngestOptions["form"], orientation: Orientation) {
  const { device } = gpu;
  using made = await FrameIngest.create(gpu, { ...(form ? { form } : {}), preprocessing: LEVELS });
  const target = makeTarget(gpu);
  const recorded = recordCreations(device);
  const encoder = device.createCommandEncoder();
  made.encode(encoder, frame, target, 0, orientation);
  recorded.stop();
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = device.createBuffer({ size: target.size, usage });
  encoder.copyBufferToBuffer(target.buffer, 0, staging, 0, target.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  return {
    values: new Float32Array(staging.getMappedRange().slice(0)),
    imported: "importExternalTexture" in recorded.counts,
  };
}

/**
 * A VideoFrame through the fast form; its own RGBA bytes through the reference form and through PIL on the CPU (`pil`);
 * and the picture that the frame was made of through PIL (`drawn`).
 */
export async function ingestVideoFrame(given: VideoFrameCase) {
  using gpu = await openGpu();
  const frame = makeFrame(given);
  const { rotation = 0, flip = false } = given;
  const pixels = await readRgba(frame);
  const fast = await ingest(gpu, frame, "fast", { rotation, flip });
  const reference = await ingest(gpu, pixels, "reference", { rotation, flip });
  frame.close();
  const placement = place(pixels, LEVELS, rotation, flip);
  const [pil, drawn] = [pixels.data, picture(given.width, given.height)].map((rgba) => cropPil(rgba, placement));
  return { fast: fast.values, reference: reference.values, pil, drawn, imported: fast.imported };
}

/** The same picture as bytes, on a canvas and as a bitmap, through the fast form. */
export async function ingestCanvas({ width, height }: { width: number; height: number }) {
  using gpu = await openGpu();
  const data = picture(width, height);
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(Uint8ClampedArray.from(data), width, height);
  canvas.getContext("2d", { willReadFrequently: true })!.putImageData(image, 0, 0);
  const bitmap = await createImageBitmap(image);
  const [bytes, drawn, mapped] = [
    await ingest(gpu, { width, height, data }, "fast", {}),
    await ingest(gpu, canvas, "fast", {}),
    await ingest(gpu, bitmap, "fast", {}),
  ];
  bitmap.close();
  return { bytes: bytes.values, canvas: drawn.values, bitmap: mapped.values };
}

/** How a closed VideoFrame and a closed bitmap are refused, in both forms. */
export async function refusedFrames() {
  using gpu = await openGpu();
  const video = makeFrame({ format: "RGBA", width: 16, height: 8 });
  video.close();
  const bitmap = await createImageBitmap(new ImageData(8, 8));
  bitmap.close();
  const refusals: { code: string; message: string }[] = [];
  for (const form of ["fast", "reference"] as const)
    for (const frame of [video, bitmap])
      try {
        await ingest(gpu, frame, form, {});
        refusals.push({ code: "none", message: "" });
      } catch (error) {
        const { code, message } = error as { code: string; message: string };
        refusals.push({ code, message });
      }
  return refusals;
}
