import { expect } from "vitest";
import { flat, type Kernel, type ParamValue, packParams } from "../../src/core/kernel.ts";
import { compile } from "../../src/gpu/pipelines.ts";
import { type Dawn, openDawn } from "../../src/host/dawn.ts";
import { frameFast, frameReference } from "../../src/kernels.gen.ts";
import { IMAGENET, type Placement, type Preprocessing, place, type Rotation } from "../../src/video/geometry.ts";
import { fastParams, referenceParams } from "../../src/video/params.ts";

let dawn: Dawn;
let device: GPUDevice;

/** Opens the device all calls below share, and returns it. */
export async function openDevice(): Promise<GPUDevice> {
  dawn = await openDawn();
  device = await (await dawn.gpu.requestAdapter())!.requestDevice();
  return device;
}

export function closeDevice(): void {
  device.destroy();
  dawn.close();
}

type Resources = Record<string, GPUBindingResource>;

const upload = (data: Int32Array | Float32Array | Uint8Array, usage: number): GPUBuffer => {
  const buffer = device.createBuffer({ size: data.byteLength, usage: usage | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(buffer, 0, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return buffer;
};

function textureOf(pixels: Uint8Array<ArrayBuffer>, width: number, height: number): GPUTexture {
  const { TEXTURE_BINDING, COPY_DST } = GPUTextureUsage;
  const size = [width, height];
  const texture = device.createTexture({ size, format: "rgba8unorm", usage: TEXTURE_BINDING | COPY_DST });
  device.queue.writeTexture({ texture }, pixels, { bytesPerRow: width * 4 }, size);
  return texture;
}

/** Runs a frame kernel into a clip that was filled with NaN, and reads the clip back. */
async function run(kernel: Kernel, params: { width: number; height: number }, bind: Resources, length: number) {
  device.pushErrorScope("validation");
  const view = new DataView(new ArrayBuffer(kernel.paramsBytes));
  packParams(kernel, params as unknown as Record<string, ParamValue>, view, 0);
  const { STORAGE, COPY_SRC, UNIFORM, MAP_READ, COPY_DST } = GPUBufferUsage;
  const y = upload(new Float32Array(length).fill(Number.NaN), STORAGE | COPY_SRC);
  const uniform = upload(new Uint8Array(view.buffer), UNIFORM);
  const { pipeline, layout } = await compile(device, kernel, {});
  const resources: Resources = { ...bind, y: { buffer: y }, params: { buffer: uniform } };
  const entries = Object.entries(kernel.bindings).map(([name, { index }]) => ({
    binding: index,
    resource: resources[name]!,
  }));
  const staging = device.createBuffer({ size: length * 4, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
  pass.dispatchWorkgroups(...flat(params.width * params.height, kernel.consts.WG as number));
  pass.end();
  encoder.copyBufferToBuffer(y, 0, staging, 0, length * 4);
  device.queue.submit([encoder.finish()]);
  expect(await device.popErrorScope()).toBeNull();
  await staging.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(staging.getMappedRange().slice(0));
  for (const buffer of [y, uniform, staging]) buffer.destroy();
  return values;
}

export interface Case {
  readonly width: number;
  readonly height: number;
  readonly resize: number;
  readonly crop: number;
  readonly rotation: Rotation;
  readonly flip: boolean;
  readonly filter?: "bilinear" | "bicubic";
}

export type Values = Pick<Preprocessing, "mean" | "std">;

/** The bytes themselves: whatever mean and deviation, a byte that differs from PIL's shows. */
export const BYTES: Values = { mean: [0, 0, 0], std: [1 / 255, 1 / 255, 1 / 255] };

export function placementOf({ width, height, resize, crop, rotation, flip, filter = "bilinear" }: Case): Placement {
  return place({ width, height }, { ...IMAGENET, resize, crop, filter }, rotation, flip);
}

const SLOTS = 3;
const SLOT = 1;

/** Runs the kernel twice into the middle frame of a clip and checks that it wrote the same both times, nothing else. */
async function runIntoClip(test: Case, kernel: Kernel, params: { width: number; height: number }, bind: Resources) {
  const size = test.crop * test.crop * 4;
  const clip = await run(kernel, params, bind, SLOTS * size);
  const again = await run(kernel, params, bind, SLOTS * size);
  expect(Buffer.compare(new Uint8Array(again.buffer), new Uint8Array(clip.buffer))).toBe(0);
  const others = [clip.subarray(0, SLOT * size), clip.subarray((SLOT + 1) * size)];
  expect(others.every((part) => part.every(Number.isNaN))).toBe(true);
  const own = clip.subarray(SLOT * size, (SLOT + 1) * size);
  expect(own.filter((_, i) => i % 4 === 3).every((lane) => lane === 0)).toBe(true);
  return own;
}

/** kernels/frame_reference.wgsl on RGBA bytes: [crop, crop, 4]. */
export async function runReference(test: Case, pixels: Uint8Array<ArrayBuffer>, values: Values): Promise<Float32Array> {
  const { params, columns, lines } = referenceParams(placementOf(test), values, SLOT);
  return runIntoClip(test, frameReference, params, {
    frame: textureOf(pixels, test.width, test.height).createView(),
    columns: { buffer: upload(columns, GPUBufferUsage.STORAGE) },
    lines: { buffer: upload(lines, GPUBufferUsage.STORAGE) },
  });
}

/** kernels/frame_fast.wgsl on RGBA bytes: [crop, crop, 4]. */
export async function runFast(test: Case, pixels: Uint8Array<ArrayBuffer>, values: Values): Promise<Float32Array> {
  return runIntoClip(test, frameFast, fastParams(placementOf(test), values, SLOT), {
    frame: textureOf(pixels, test.width, test.height).createView(),
    linear: device.createSampler({ magFilter: "linear", minFilter: "linear" }),
  });
}

/** Mean and largest difference between a frame of vec4 and RGB values. */
export function difference(y: Float32Array, rgb: ArrayLike<number>): { mean: number; largest: number } {
  let [sum, largest] = [0, 0];
  for (let i = 0; i < rgb.length; i++) {
    const off = Math.abs(y[Math.floor(i / 3) * 4 + (i % 3)]! - rgb[i]!);
    sum += off;
    largest = Math.max(largest, Number.isNaN(off) ? Infinity : off);
  }
  return { mean: sum / rgb.length, largest };
}
