// A device for a test file. Every test fails on any message of WebGPU's validation.
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from "vitest";
import type { Graph } from "../src/core/graph.ts";
import type { Caps } from "../src/core/op.ts";
import { padChannels, unpadChannels } from "../src/core/tensor.ts";
import { type Gpu, openGpu } from "../src/gpu/device.ts";
import { type Dawn, openDawn } from "../src/host/dawn.ts";
import type { GpuRange, Session } from "../src/session.ts";

export interface GpuFixture {
  readonly dawn: Dawn;
  readonly gpu: Gpu;
  /** The same device, with kernels chosen as for an adapter of that kind, and with what else `caps` says. */
  as(kind: "cpu" | "gpu", caps?: Partial<Caps>): Gpu;
}

/** Call once in a file, outside of any test. */
export function useGpu(): GpuFixture {
  let dawn: Dawn;
  let gpu: Gpu;
  const messages: string[] = [];
  // A software adapter on a busy machine compiles slowly; that is no failure.
  vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });
  beforeAll(async () => {
    dawn = await openDawn();
    gpu = await openGpu({ gpu: dawn.gpu });
    gpu.device.onuncapturederror = ({ error }) => messages.push(error.message);
  });
  beforeEach(() => gpu.device.pushErrorScope("validation"));
  afterEach(async () => {
    const error = await gpu.device.popErrorScope();
    expect([error?.message ?? [], ...messages.splice(0)].flat()).toEqual([]);
  });
  afterAll(() => {
    gpu.dispose();
    dawn.close();
  });
  return {
    get dawn() {
      return dawn;
    },
    get gpu() {
      return gpu;
    },
    as: (kind, caps) => ({ ...gpu, caps: { ...gpu.caps, kind, ...caps } }),
  };
}

/** Fills all memory of a session's activations with NaN: what a kernel should have written and did not, shows. */
export function poison(session: Session): void {
  const { graph } = session.plan;
  const buffers = new Set<GPUBuffer>();
  for (const value of graph.values) {
    if (value.kind === "temp" || value.kind === "input") buffers.add(session.range(value.name).buffer);
  }
  for (const buffer of buffers) {
    session.gpu.device.queue.writeBuffer(buffer, 0, new Float32Array(buffer.size / 4).fill(Number.NaN));
  }
}

/** The bytes of a range, as they are stored. */
export async function readStored(device: GPUDevice, { buffer, offset, size }: GpuRange): Promise<Float32Array> {
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const data = new Float32Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return data;
}

/** Sets a session's only state. */
export async function writeState(session: Session, data: Float32Array<ArrayBuffer>): Promise<void> {
  const bytes = new Uint8Array((await session.snapshot()).length);
  bytes.set(new Uint8Array(padChannels(data, onlyState(session.plan.graph).spec).slice().buffer));
  session.restore(bytes);
}

/** A session's only state, in its logical shape. */
export async function readState(session: Session): Promise<Float32Array<ArrayBuffer>> {
  const { spec, bytes } = onlyState(session.plan.graph);
  return unpadChannels(new Float32Array((await session.snapshot()).buffer, 0, bytes / 4).slice(), spec);
}

function onlyState(graph: Graph) {
  const states = graph.values.filter((value) => value.kind === "state");
  if (states.length !== 1) throw new Error(`${graph.name} has ${states.length} states`);
  return states[0]!;
}
