import { fail } from "../core/fail.ts";
import { type Kernel, packParams } from "../core/kernel.ts";
import type { Gpu } from "../gpu/device.ts";
import { compile, type Pipeline } from "../gpu/pipelines.ts";
import * as kernels from "../kernels.gen.ts";
import type { GpuRange } from "../session.ts";
import { IMAGENET, type Placement, type Preprocessing, place, type Rotation, type Size } from "./geometry.ts";
import { fastParams, referenceParams } from "./params.ts";

/** RGBA bytes, row by row. */
export interface Pixels extends Size {
  readonly data: Uint8Array<ArrayBuffer> | Uint8ClampedArray<ArrayBuffer>;
}

/** What a frame may be. A VideoFrame stays the caller's: close it after the commands that read it were submitted. */
export type Frame =
  | VideoFrame
  | ImageBitmap
  | HTMLVideoElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | GPUTexture
  | Pixels;

/** How a stored frame has to be turned before it is shown. */
export interface Orientation {
  /** Clockwise, in degrees. */
  readonly rotation?: Rotation;
  /** Mirrored left to right after the turn. */
  readonly flip?: boolean;
}

export interface IngestOptions {
  /** `fast`: through the texture sampler; a VideoFrame is bound as it is, without a copy. `reference`: PIL's bytes exactly. */
  readonly form?: "fast" | "reference";
  readonly preprocessing?: Preprocessing;
}

const SLOT = 256;

/** All that depends on a frame's size and turn: made when they change, kept while they stay. */
interface Geometry {
  readonly key: string;
  readonly placement: Placement;
  readonly texture: GPUTexture;
  readonly params: GPUBuffer;
  readonly tables: readonly GPUBuffer[];
  /** Bind groups by what they read, where they write, slot and offset; they go with either of the two. */
  readonly groups: WeakMap<GPUTexture, WeakMap<GPUBuffer, Map<string, GPUBindGroup>>>;
}

/** Frames to network input on the GPU, one pass a frame: turn, scale, crop, mirror, normalise (kernels frame_fast and frame_reference). */
export class FrameIngest {
  readonly preprocessing: Preprocessing;
  readonly #device: GPUDevice;
  readonly #form: "fast" | "reference";
  readonly #sampler: GPUSampler;
  readonly #plain: Pipeline;
  readonly #external: Pipeline | null;
  #geometry: Geometry | null = null;

  private constructor(device: GPUDevice, options: IngestOptions, plain: Pipeline, external: Pipeline | null) {
    this.#device = device;
    this.#form = options.form ?? "fast";
    this.preprocessing = options.preprocessing ?? IMAGENET;
    this.#sampler = device.createSampler({ magFilter: "linear", minFilter: "linear" });
    this.#plain = plain;
    this.#external = external;
  }

  /** Compiles the kernels of the form asked for. */
  static async create(gpu: Gpu, options: IngestOptions = {}): Promise<FrameIngest> {
    const { device } = gpu;
    if (options.form === "reference")
      return new FrameIngest(device, options, await compile(device, kernels.frameReference, {}), null);
    const importable = "importExternalTexture" in device && "VideoFrame" in globalThis;
    const external = importable ? compile(device, kernels.frameFast, {}, { frame: "texture_external" }) : null;
    const [plain, imported] = await Promise.all([compile(device, kernels.frameFast, {}), external]);
    return new FrameIngest(device, options, plain, imported);
  }

  /**
   * Records the commands that turn a frame into frame `slot` of a clip tensor [frames, crop, crop, 4] at `target`.
   * Submit them in the same task, for an external texture expires with it, and before the next frame is encoded, whose
   * pixels are written over this one's.
   * @throws "bad-input" for a closed or empty frame
   */
  encode(encoder: GPUCommandEncoder, frame: Frame, target: GpuRange, slot = 0, orientation: Orientation = {}): void {
    const size = sizeOf(frame);
    const geometry = this.#prepare(size, orientation, target);
    const { crop } = geometry.placement;
    if ((slot + 1) * crop.width * crop.height * 16 > target.size)
      fail("bad-input", `frame ${slot} lies beyond the clip tensor of ${target.size} bytes`);
    const external =
      this.#external && isVideoFrame(frame) ? this.#device.importExternalTexture({ source: frame }) : null;
    if (!external) this.#copy(frame, geometry.texture, size);
    const { pipeline, layout } = external ? this.#external! : this.#plain;
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      this.#group(geometry, layout, target, slot, external ?? (isTexture(frame) ? frame : geometry.texture)),
    );
    pass.dispatchWorkgroups(Math.ceil((crop.width * crop.height) / kernels.frameFast.consts.WG));
    pass.end();
  }

  dispose(): void {
    this.#release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #prepare(size: Size, { rotation = 0, flip = false }: Orientation, target: GpuRange): Geometry {
    const slots = Math.floor(target.size / (this.preprocessing.crop ** 2 * 16));
    const key = `${size.width}x${size.height} ${rotation} ${flip} ${slots}`;
    if (this.#geometry?.key === key) return this.#geometry;
    const placement = place(size, this.preprocessing, rotation, flip);
    this.#release();
    this.#geometry = this.#form === "fast" ? this.#fast(key, placement, slots) : this.#reference(key, placement, slots);
    return this.#geometry;
  }

  #fast(key: string, placement: Placement, slots: number): Geometry {
    const params = this.#params(kernels.frameFast, slots, (slot) => fastParams(placement, this.preprocessing, slot));
    return { key, placement, params, texture: this.#texture(placement.source), tables: [], groups: new WeakMap() };
  }

  #reference(key: string, placement: Placement, slots: number): Geometry {
    const { columns, lines } = referenceParams(placement, this.preprocessing);
    const params = this.#params(
      kernels.frameReference,
      slots,
      (slot) => referenceParams(placement, this.preprocessing, slot).params,
    );
    const tables = [columns, lines].map((table) => {
      const buffer = this.#device.createBuffer({
        label: "kinema/table",
        size: table.byteLength,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
      });
      this.#device.queue.writeBuffer(buffer, 0, table as Int32Array<ArrayBuffer>);
      return buffer;
    });
    return { key, placement, params, texture: this.#texture(placement.source), tables, groups: new WeakMap() };
  }

  #texture({ width, height }: Size): GPUTexture {
    const most = this.#device.limits.maxTextureDimension2D;
    if (Math.max(width, height) > most)
      fail(
        "limit-exceeded",
        `a frame of ${width} x ${height} is larger than this device's textures (${most}); scale the video down`,
      );
    const usage = GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.RENDER_ATTACHMENT;
    return this.#device.createTexture({ label: "kinema/frame", size: [width, height], format: "rgba8unorm", usage });
  }

  #params(kernel: Kernel, slots: number, of: (slot: number) => Parameters<typeof packParams>[1]): GPUBuffer {
    const view = new DataView(new ArrayBuffer(Math.max(1, slots) * SLOT));
    for (let slot = 0; slot < slots; slot++) packParams(kernel, of(slot), view, slot * SLOT);
    const buffer = this.#device.createBuffer({
      label: "kinema/frame params",
      size: view.byteLength,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    this.#device.queue.writeBuffer(buffer, 0, view.buffer as ArrayBuffer);
    return buffer;
  }

  #copy(frame: Frame, texture: GPUTexture, { width, height }: Size): void {
    if (isTexture(frame)) return;
    if ("data" in frame)
      this.#device.queue.writeTexture({ texture }, frame.data, { bytesPerRow: width * 4 }, [width, height]);
    else
      this.#device.queue.copyExternalImageToTexture({ source: frame as GPUCopyExternalImageSource }, { texture }, [
        width,
        height,
      ]);
  }

  #group(
    geometry: Geometry,
    layout: GPUBindGroupLayout,
    target: GpuRange,
    slot: number,
    source: GPUExternalTexture | GPUTexture,
  ): GPUBindGroup {
    const texture = "createView" in source ? source : null;
    // WebGPU gives every external texture a new object, so its bind group cannot be kept.
    const groups =
      texture &&
      at(
        at(geometry.groups, texture, () => new WeakMap()),
        target.buffer,
        () => new Map(),
      );
    const key = `${slot} ${target.offset}`;
    const kept = groups?.get(key);
    if (kept) return kept;
    const kernel = this.#form === "fast" ? kernels.frameFast : kernels.frameReference;
    const resources: Record<string, GPUBindingResource> = {
      frame: texture?.createView() ?? (source as GPUExternalTexture),
      linear: this.#sampler,
      columns: { buffer: geometry.tables[0]! },
      lines: { buffer: geometry.tables[1]! },
      y: target,
      params: { buffer: geometry.params, offset: slot * SLOT, size: kernel.paramsBytes },
    };
    const entries = Object.entries(kernel.bindings).map(([name, { index }]) => ({
      binding: index,
      resource: resources[name]!,
    }));
    const group = this.#device.createBindGroup({ label: "kinema/frame", layout, entries });
    groups?.set(key, group);
    return group;
  }

  #release(): void {
    const old = this.#geometry;
    this.#geometry = null;
    if (!old) return;
    old.texture.destroy();
    for (const buffer of [old.params, ...old.tables]) buffer.destroy();
  }
}

/** The value of a key, made where there is none. */
function at<K extends WeakKey, V>(map: WeakMap<K, V>, key: K, make: () => V): V {
  const value = map.get(key) ?? make();
  map.set(key, value);
  return value;
}

const isVideoFrame = (frame: Frame): frame is VideoFrame =>
  typeof VideoFrame !== "undefined" && frame instanceof VideoFrame;
const isTexture = (frame: Frame): frame is GPUTexture => "createView" in frame;

function sizeOf(frame: Frame): Size {
  if (isVideoFrame(frame)) {
    if (frame.format === null && frame.codedWidth === 0)
      fail("bad-input", "this VideoFrame is closed; pass it before closing it");
    return { width: frame.displayWidth, height: frame.displayHeight };
  }
  const size =
    "videoWidth" in frame
      ? { width: frame.videoWidth, height: frame.videoHeight }
      : { width: frame.width, height: frame.height };
  if (!(size.width >= 1 && size.height >= 1))
    fail("bad-input", `a frame of ${size.width} x ${size.height} pixels holds nothing`);
  if ("data" in frame && frame.data.length !== size.width * size.height * 4)
    fail(
      "bad-input",
      `${size.width} x ${size.height} RGBA pixels are ${size.width * size.height * 4} bytes, got ${frame.data.length}`,
    );
  return size;
}
