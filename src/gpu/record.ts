import { fail } from "../core/fail.ts";
import type { Value } from "../core/graph.ts";
import { roundUp, unpadChannels } from "../core/tensor.ts";
import type { SessionBuffers } from "./buffers.ts";
import type { Gpu } from "./device.ts";
import { unlessLost } from "./lost.ts";
import type { ReadyStep } from "./prepare.ts";

/** Where a value goes to be read: which of the staging buffers, and where in it. */
export interface Reading {
  readonly name: string;
  readonly value: Value;
  readonly buffer: number;
  readonly at: number;
  readonly size: number;
}

/** Bytes of a staging buffer at most, unless one value takes more: half of what WebGPU allows a buffer by default. */
const STAGING_BYTES = 128 * 2 ** 20;

/** Gives each value a place, one behind the other. */
export function placeReadings(values: readonly (readonly [name: string, value: Value])[]): Reading[] {
  let [buffer, end] = [0, 0];
  return values.map(([name, value]) => {
    const size = value.bytes;
    if (end > 0 && end + size > STAGING_BYTES) [buffer, end] = [buffer + 1, 0];
    const at = end;
    end += roundUp(size, 8);
    return { name, value, buffer, at, size };
  });
}

/** The staging buffers that readings need; at least one. */
export function stagingBuffers(device: GPUDevice, readings: readonly Reading[]): GPUBuffer[] {
  const sizes = [4];
  for (const { buffer, at, size } of readings) sizes[buffer] = at + roundUp(size, 8);
  return sizes.map((size) => stagingBuffer(device, size));
}

/** Waits for what was copied and returns it by name, in logical shapes. `whenGone` throws once the buffers are. @throws as {@link mapped} */
export async function readBack(
  gpu: Gpu,
  staging: readonly GPUBuffer[],
  readings: readonly Reading[],
  whenGone: () => void,
): Promise<Record<string, Float32Array<ArrayBuffer>>> {
  await Promise.all(staging.map((buffer) => mapped(gpu, buffer, buffer.size, whenGone)));
  whenGone(); // it may have gone between the last map and now
  const result: Record<string, Float32Array<ArrayBuffer>> = {};
  for (const { name, value, buffer, at, size } of readings) {
    const data = new Float32Array(staging[buffer]!.getMappedRange(at, size).slice(0));
    result[name] = unpadChannels(data, value.spec);
  }
  for (const buffer of staging) buffer.unmap();
  return result;
}

/** Copies a value to where it is read, as it is at this point of the commands. */
export function copyOut(
  encoder: GPUCommandEncoder,
  buffers: SessionBuffers,
  staging: readonly GPUBuffer[],
  reading: Reading,
): void {
  const from = buffers.range(reading.value, 0);
  encoder.copyBufferToBuffer(from.buffer, from.offset, staging[reading.buffer]!, reading.at, reading.size);
}

/** Records all dispatches in one pass; a tap ends it behind the step that makes the value and copies that out. */
export function recordSteps(
  encoder: GPUCommandEncoder,
  steps: readonly ReadyStep[],
  taps: readonly Reading[] = [],
  copy: (reading: Reading) => void = () => {},
  options: GPUComputePassDescriptor = {},
): void {
  let pass = encoder.beginComputePass(options);
  for (const step of steps) {
    pass.setPipeline(step.pipeline);
    pass.setBindGroup(0, step.group);
    pass.dispatchWorkgroups(...step.groups);
    const wanted = taps.filter(({ value }) => step.made.includes(value));
    if (wanted.length === 0) continue;
    pass.end();
    wanted.forEach(copy);
    pass = encoder.beginComputePass();
  }
  pass.end();
}

/** A buffer that commands write and the program reads. */
export const stagingBuffer = (device: GPUDevice, size: number): GPUBuffer =>
  device.createBuffer({ label: "kinema/staging", size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });

/** Waits until `staging` can be read. @throws what `whenGone` throws if the buffer was destroyed meanwhile, "device-lost" */
export async function mapped(gpu: Gpu, staging: GPUBuffer, size: number, whenGone: () => void): Promise<void> {
  try {
    await unlessLost(gpu.lost, staging.mapAsync(GPUMapMode.READ, 0, size));
  } catch (error) {
    whenGone();
    // A map is given up when its buffer or its device goes, and it may say so before the device does.
    if ((error as Error).name === "AbortError")
      fail("device-lost", "the GPU device was lost; open it again", {}, error);
    throw error;
  }
}
