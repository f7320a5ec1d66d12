/** The bundle of page.test.ts. */
import { fail } from "../../src/core/fail.ts";
import type { CallContext } from "../../src/host/page/rpc.ts";

export { serve } from "../../src/host/page/rpc.ts";

export function echo(args: unknown): unknown {
  return args;
}

export async function read({ url, range }: { url: string; range: string }): Promise<string> {
  const answer = await fetch(url, { headers: { range } });
  return `${answer.status} ${await answer.text()}`;
}

export function isolated(): boolean {
  return globalThis.crossOriginIsolated && globalThis.isSecureContext;
}

export function refuse(): never {
  return fail("weights-mismatch", "three tensors are missing: a, b, c; give another file", {
    missing: ["a", "b", "c"],
  });
}

export function stumble(): never {
  throw new RangeError("first line\nsecond line");
}

export function unsendable(): unknown {
  return { at: new Map() };
}

export async function count({ to }: { to: number }, { progress }: CallContext): Promise<string> {
  for (let step = 1; step <= to; step++) progress({ step, of: to });
  return "counted";
}

/** Ends when aborted, with the reason it is given, or never. */
export function wait({ deaf }: { deaf: boolean }, { signal }: CallContext): Promise<string> {
  return new Promise((done) => {
    if (!deaf) signal.addEventListener("abort", () => done("stopped"));
  });
}

export function lateError(): Promise<never> {
  setTimeout(() => {
    throw new Error("nobody caught this");
  }, 10);
  return new Promise(() => {});
}

/** Encodes nothing: makes a VideoFrame of one colour and reads a texel of it back through an external texture. */
export async function frameColour({ rgb }: { rgb: number[] }): Promise<Float32Array> {
  const device = await (await navigator.gpu.requestAdapter())!.requestDevice();
  const pixels = new Uint8Array(32 * 18 * 4).map((_, index) => [...rgb, 255][index % 4]!);
  const frame = new VideoFrame(pixels, { format: "RGBA", codedWidth: 32, codedHeight: 18, timestamp: 0 });
  const code = `@group(0) @binding(0) var frame: texture_external;
    @group(0) @binding(1) var<storage, read_write> texel: vec4f;
    @compute @workgroup_size(1) fn main() { texel = textureLoad(frame, vec2u(17, 11)); }`;
  const compute = { module: device.createShaderModule({ code }), entryPoint: "main" };
  const pipeline = device.createComputePipeline({ layout: "auto", compute });
  const texel = device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
  const staging = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = [
    { binding: 0, resource: device.importExternalTexture({ source: frame }) },
    { binding: 1, resource: { buffer: texel } },
  ];
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(texel, 0, staging, 0, 16);
  device.queue.submit([encoder.finish()]);
  frame.close();
  await staging.mapAsync(GPUMapMode.READ);
  const colour = new Float32Array(staging.getMappedRange().slice(0));
  device.destroy();
  return colour;
}
