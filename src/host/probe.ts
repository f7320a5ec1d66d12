import type { Browser } from "puppeteer-core";
import type { AdapterWords } from "./describe_adapter.ts";
import { startServer } from "./server.ts";

/** What a browser's WebGPU can do. */
export interface AdapterReport {
  readonly webgpu: boolean;
  /** What the adapter says of itself; null if there is none. */
  readonly adapter: AdapterWords | null;
  /** "ok", or why a VideoFrame could not be imported as an external texture and read. */
  readonly videoFrame: string;
}

/** Opens a page (WebGPU needs a secure context: a loopback address is one), tries WebGPU in it and closes it. */
export async function probePage(browser: Browser): Promise<AdapterReport> {
  const server = await startServer();
  const page = await browser.newPage();
  try {
    await page.goto(server.bytes("<!doctype html><title>Kinema</title>", "text/html").url);
    return (await page.evaluate(probeWebGpu)) as AdapterReport;
  } finally {
    await page.close().catch(() => {});
    await server.close();
  }
}

/** Runs in the page, so it may use nothing from outside itself. Imports a grey 16x8 frame and reads one texel back. */
async function probeWebGpu(): Promise<AdapterReport> {
  const none = { webgpu: false, adapter: null, videoFrame: "no adapter" };
  if (!navigator.gpu) return none;
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return { ...none, webgpu: true };
  const { vendor, architecture, device: model, description, isFallbackAdapter } = adapter.info;
  const words = { vendor, architecture, device: model, description, isFallbackAdapter };
  const device = await adapter.requestDevice();
  const code = `@group(0) @binding(0) var frame: texture_external;
    @group(0) @binding(1) var<storage, read_write> texel: vec4f;
    @compute @workgroup_size(1) fn main() { texel = textureLoad(frame, vec2u(5, 3)); }`;
  let videoFrame = "ok";
  try {
    device.pushErrorScope("validation");
    const grey = new Uint8Array(16 * 8 * 4).fill(128);
    const init = { format: "RGBX", codedWidth: 16, codedHeight: 8, timestamp: 0 } as const;
    const frame = new VideoFrame(grey, init);
    const compute = { module: device.createShaderModule({ code }), entryPoint: "main" };
    const pipeline = device.createComputePipeline({ layout: "auto", compute });
    const texel = device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
    const staging = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const entries = [
      { binding: 0, resource: device.importExternalTexture({ source: frame }) },
      { binding: 1, resource: { buffer: texel } },
    ];
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(texel, 0, staging, 0, 16);
    device.queue.submit([encoder.finish()]);
    frame.close();
    const error = await device.popErrorScope();
    await staging.mapAsync(GPUMapMode.READ);
    const red = new Float32Array(staging.getMappedRange())[0]!;
    if (error) videoFrame = error.message;
    else if (Math.abs(red - 128 / 255) > 1 / 255) videoFrame = `grey 128 came back as ${red * 255}`;
  } catch (error) {
    videoFrame = String(error);
  }
  device.destroy();
  return { webgpu: true, adapter: words, videoFrame: videoFrame.split("\n")[0]! };
}
