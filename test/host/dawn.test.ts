import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Dawn, openDawn, openNullDawn } from "../../src/host/dawn.ts";

const SHADER = `
@group(0) @binding(0) var<storage, read_write> result: array<u32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&result)) { result[id.x] = id.x * id.x + 7u; }
}`;

async function squares(gpu: GPU, count: number): Promise<number[]> {
  const device = await (await gpu.requestAdapter())!.requestDevice();
  const result = device.createBuffer({ size: count * 4, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
  const staging = device.createBuffer({ size: count * 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const compute = { module: device.createShaderModule({ code: SHADER }), entryPoint: "main" };
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute });
  const layout = pipeline.getBindGroupLayout(0);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer: result } }] }));
  pass.dispatchWorkgroups(Math.ceil(count / 4));
  pass.end();
  encoder.copyBufferToBuffer(result, 0, staging, 0, count * 4);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const values = [...new Uint32Array(staging.getMappedRange().slice(0))];
  device.destroy();
  return values;
}

describe("Dawn in Node", () => {
  const before = [process.env.VK_ICD_FILENAMES, process.env.VK_DRIVER_FILES];
  let dawn: Dawn;
  beforeAll(async () => {
    dawn = await openDawn();
  });
  afterAll(() => dawn.close());

  it("runs a compute shader", async () => {
    expect(await squares(dawn.gpu, 7)).toEqual([7, 8, 11, 16, 23, 32, 43]);
  });

  it("names its adapter in one line", () => {
    expect(dawn.adapterDescription).toMatch(/^[^\n]+, (Vulkan in Node|Metal|Direct3D 12)/);
  });

  it("sleeps while a software adapter works", async () => {
    const device = await (await dawn.gpu.requestAdapter())!.requestDevice();
    const code = `
      @group(0) @binding(0) var<storage, read_write> y: array<f32>;
      @compute @workgroup_size(16) fn main(@builtin(global_invocation_id) id: vec3u) {
        var sum = 0.0;
        for (var i = 0u; i < 20000u; i++) { sum = sum * 0.5 + 1.0; }
        y[id.x] = sum;
      }`;
    const layout = "auto";
    const pipeline = device.createComputePipeline({ layout, compute: { module: device.createShaderModule({ code }) } });
    const buffer = device.createBuffer({ size: 4 * 16384, usage: GPUBufferUsage.STORAGE });
    const entries = [{ binding: 0, resource: { buffer } }];
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(1024);
    pass.end();
    let turns = 0;
    let waiting = true;
    const count = (): void => {
      turns++;
      if (waiting) setImmediate(count);
    };
    const from = performance.now();
    device.queue.submit([encoder.finish()]);
    setImmediate(count);
    await device.queue.onSubmittedWorkDone();
    waiting = false;
    const ms = performance.now() - from;
    device.destroy();
    // The pauses grow to 1 ms within 8 ms; a turn of its own without one takes 0.02 ms.
    if (dawn.adapterDescription.includes("software")) expect(turns).toBeLessThan(100 + 2 * ms);
  });

  it("leaves the environment as it was", () => {
    expect([process.env.VK_ICD_FILENAMES, process.env.VK_DRIVER_FILES]).toEqual(before);
  });

  it("opens a second instance beside the first, and closes only that one", async () => {
    const second = await openDawn();
    expect(await squares(second.gpu, 3)).toEqual([7, 8, 11]);
    const device = await (await second.gpu.requestAdapter())!.requestDevice();
    second.close();
    expect((await device.lost).reason).toBe("destroyed");
    expect(await squares(dawn.gpu, 2)).toEqual([7, 8]);
  });
});

describe("Dawn's null backend", () => {
  it("offers f16 and subgroup matrices, and rejects a wrong shader", async () => {
    const dawn = await openNullDawn();
    const adapter = (await dawn.gpu.requestAdapter())!;
    const wanted = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"] as GPUFeatureName[];
    expect(wanted.filter((feature) => !adapter.features.has(feature))).toEqual([]);
    const device = await adapter.requestDevice({ requiredFeatures: wanted });
    device.pushErrorScope("validation");
    device.createShaderModule({ code: SHADER.replace("id.x * id.x", "id.x * 1.5f") });
    expect((await device.popErrorScope())?.message).toMatch(/no matching overload/);
    device.pushErrorScope("validation");
    device.createShaderModule({ code: `enable f16;\n${SHADER}` });
    expect(await device.popErrorScope()).toBeNull();
    device.destroy();
    dawn.close();
  });
});

it("lets Node exit by itself after close(), three times over", async () => {
  const entry = {
    contents: `import { openDawn } from "./src/host/dawn.ts";\n${EXIT_PROGRAM}`,
    resolveDir: process.cwd(),
  };
  const options = {
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    write: false,
    packages: "external",
  } as const;
  const code = (await build({ stdin: entry, ...options })).outputFiles[0]!.text;
  const run = () => promisify(execFile)(process.execPath, ["--input-type=module", "-e", code], { timeout: 15_000 });
  const outputs = await Promise.all([run(), run(), run()]);
  expect(outputs.map((output) => output.stdout)).toEqual(["closed\n", "closed\n", "closed\n"]);
});

const EXIT_PROGRAM = `
const dawn = await openDawn();
const device = await (await dawn.gpu.requestAdapter()).requestDevice();
device.lost.then(() => {});
globalThis.kept = device;
dawn.close();
console.log("closed");`;
