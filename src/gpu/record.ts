import { fail } from "../core/fail.ts";
import type { Value } from "../core/graph.ts";
import type { SessionBuffers } from "./buffers.ts";
import type { Gpu } from "./device.ts";
import type { ReadyStep } from "./prepare.ts";

/** Where in a staging buffer a value goes. */
export interface Reading {
  readonly value: Value;
  readonly at: number;
  readonly size: number;
}

/** Copies a value into `staging`, as it is at this point of the commands. */
export function copyOut(
  encoder: GPUCommandEncoder,
  buffers: SessionBuffers,
  staging: GPUBuffer,
  reading: Reading,
): void {
  const from = buffers.range(reading.value, 0);
  encoder.copyBufferToBuffer(from.buffer, from.offset, staging, reading.at, reading.size);
}

/** Records all dispatches in one pass; a tap ends it behind the step that makes the value and copies that out. */
export function recordSteps(
  encoder: GPUCommandEncoder,
  steps: readonly ReadyStep[],
  taps: readonly Reading[] = [],
  copy: (reading: Reading) => void = () => {},
): void {
  let pass = encoder.beginComputePass();
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
    await Promise.race([staging.mapAsync(GPUMapMode.READ, 0, size), gpu.lost]);
  } catch (error) {
    whenGone();
    // A map is given up when its buffer or its device goes, and it may say so before the device does.
    if ((error as Error).name === "AbortError")
      fail("device-lost", "the GPU device was lost; open it again", {}, error);
    throw error;
  }
}
