// Runs in a browser: draws the clip with WebGPU and encodes it with WebCodecs.
import { BufferTarget, Output, Quality, VideoSample, VideoSampleSource, WebMOutputFormat } from "mediabunny";
import { type CallContext, serve } from "../../src/host/page/rpc.ts";
import frameCode from "./frame.wgsl";
import materialCode from "./material.wgsl";
import roomCode from "./room.wgsl";
import { FPS, FRAMES, type Pose, poseAt, SHUTTER, trueMotion } from "./timeline.ts";

const SIZE = { width: 320, height: 240 };
const BITS_PER_SECOND = 180_000;
const HALF_VIEW = Math.tan((27.5 * Math.PI) / 180);

/** The part of the sphere the camera may see, with 13 pixels a degree. */
const PANORAMA = { left: -42, right: 66, top: 46, bottom: -66, perDegree: 13 };
const degrees = (value: number) => (value * Math.PI) / 180;
const low = [degrees(PANORAMA.left), degrees(PANORAMA.top)] as const;
const span = [degrees(PANORAMA.right - PANORAMA.left), degrees(PANORAMA.top - PANORAMA.bottom)] as const;

async function openDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("no WebGPU adapter");
  const device = await adapter.requestDevice();
  device.addEventListener("uncapturederror", ({ error }) => console.error(error.message));
  return device;
}

function pipelineOf(device: GPUDevice, code: string): GPUComputePipeline {
  const module = device.createShaderModule({ code: `${materialCode}\n${code}` });
  return device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
}

function uniformOf(device: GPUDevice, bytes: number): GPUBuffer {
  return device.createBuffer({ size: bytes, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
}

function run(device: GPUDevice, pipeline: GPUComputePipeline, resources: GPUBindingResource[], x: number, y: number) {
  const entries = resources.map((resource, binding) => ({ binding, resource }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(Math.ceil(x / 8), Math.ceil(y / 8));
  pass.end();
  return encoder;
}

/** Draws the room once, a band of rows at a time. */
async function drawRoom(device: GPUDevice, progress: (part: number) => void): Promise<GPUTexture> {
  const width = (PANORAMA.right - PANORAMA.left) * PANORAMA.perDegree;
  const height = (PANORAMA.top - PANORAMA.bottom) * PANORAMA.perDegree;
  const usage = GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.TEXTURE_BINDING;
  const picture = device.createTexture({ size: [width, height], format: "rgba8unorm", usage });
  const pipeline = pipelineOf(device, roomCode);
  const uniform = uniformOf(device, 32);
  const rows = 32;
  for (let first = 0; first < height; first += rows) {
    device.queue.writeBuffer(uniform, 0, new Uint32Array([width, height, first, rows]));
    device.queue.writeBuffer(uniform, 16, new Float32Array([...low, span[0] / width, -span[1] / height]));
    const encoder = run(device, pipeline, [picture.createView(), { buffer: uniform }], width, rows);
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    progress(first / height);
  }
  return picture;
}

function frameParams(opened: Pose, closed: Pose): ArrayBuffer {
  const data = new ArrayBuffer(96);
  const floats = new Float32Array(data);
  const view = ({ yaw, pitch, roll, zoom }: Pose) => [yaw, pitch, roll, HALF_VIEW * Math.exp(-zoom)];
  const moving = (track: "ball" | "hand") =>
    opened[track] === null ? [0, 0, 0] : [opened[track], closed[track] ?? opened[track], 1];
  floats.set([...view(opened), ...view(closed), ...low, ...span]);
  floats.set(moving("ball"), 12);
  floats.set(moving("hand"), 16);
  new Uint32Array(data).set([SIZE.width, SIZE.height], 20);
  return data;
}

/** Draws frame after frame; yields RGBA bytes [height, width, 4]. */
async function* drawFrames(device: GPUDevice, room: GPUTexture): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const bytes = SIZE.width * SIZE.height * 4;
  const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const pixels = device.createBuffer({ size: bytes, usage: STORAGE | COPY_SRC });
  const staging = device.createBuffer({ size: bytes, usage: COPY_DST | MAP_READ });
  const linear = device.createSampler({ magFilter: "linear", minFilter: "linear" });
  const pipeline = pipelineOf(device, frameCode);
  const uniform = uniformOf(device, 96);
  for (let frame = 0; frame < FRAMES; frame++) {
    device.queue.writeBuffer(uniform, 0, frameParams(poseAt(frame), poseAt(frame + SHUTTER)));
    const resources = [room.createView(), linear, { buffer: pixels }, { buffer: uniform }];
    const encoder = run(device, pipeline, resources, SIZE.width, SIZE.height);
    encoder.copyBufferToBuffer(pixels, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    yield new Uint8Array(staging.getMappedRange().slice(0));
    staging.unmap();
  }
}

export { serve };

/** Draws and encodes the clip: the WebM file, and what it truly shows. Reports how far it is, 0 to 1. */
export async function renderClip(_: unknown, { progress }: CallContext) {
  const device = await openDevice();
  const room = await drawRoom(device, (part) => progress(part / 2));
  const output = new Output({ format: new WebMOutputFormat(), target: new BufferTarget() });
  const quality = new Quality({ bitrate: BITS_PER_SECOND, bitrateMode: "variable" });
  const source = new VideoSampleSource({ codec: "vp9", quality, keyFrameInterval: 5, latencyMode: "quality" });
  output.addVideoTrack(source, { frameRate: FPS });
  await output.start();
  let frame = 0;
  for await (const data of drawFrames(device, room)) {
    const [codedWidth, codedHeight] = [SIZE.width, SIZE.height];
    const timing = { timestamp: frame++ / FPS, duration: 1 / FPS };
    const sample = new VideoSample(data, { format: "RGBA", codedWidth, codedHeight, ...timing });
    await source.add(sample);
    sample.close();
    progress(0.5 + frame / FRAMES / 2);
  }
  await output.finalize();
  device.destroy();
  return {
    file: new Uint8Array(output.target.buffer!),
    truth: { ...SIZE, fps: FPS, frames: FRAMES, motions: trueMotion() },
  };
}
