// The page of bench/hour.ts: clips in a loop as one long video, through the decoder, the ingest and the compressor of `kinema compress`.
import { compressorOf, FrameDecoder, FrameEncoder, storeDescription } from "../src/compressor.ts";
import { type Gpu, openGpu } from "../src/gpu/device.ts";
import { encodeVideo } from "../src/host/page/encode_video.ts";
import type { Codes, StoreDescription } from "../src/store/index.ts";
import { readRgba } from "../src/video/rgba.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { fromUrl } from "../src/weights/url_source.ts";
import { countBytes } from "./gpu_bytes.ts";
import { type Clip, LoopedVideo } from "./looped_video.ts";

export { serve } from "../src/host/page/rpc.ts";

export interface OpenArgs {
  readonly clips: readonly Clip[];
  readonly weightsUrl: string;
  readonly weightsName: string;
  readonly frames: number;
  /** Side of the frames in pixels. */
  readonly size: number;
  readonly fps: number;
}

export interface Opened {
  readonly adapter: string;
  readonly description: StoreDescription;
  readonly steps: number;
}

/** One second that was looked at. */
export interface Look {
  readonly frames: number;
  /** Milliseconds from codes to the last frame's bytes. */
  readonly ms: number;
  /** Of all frames against the source's, in decibels. */
  readonly psnr: number;
}

/** Frames and code steps a run, as in `kinema compress` and `kinema decode`. */
const [FRAMES, STEPS] = [8, 4];

interface Job {
  readonly gpu: Gpu;
  readonly gpuBytes: () => number;
  readonly video: LoopedVideo;
  readonly encoder: FrameEncoder;
  readonly decoder: FrameDecoder;
  codes: AsyncGenerator<Codes, void, undefined> | null;
}

let job: Job;

export async function open({ clips, weightsUrl, weightsName, frames, size, fps }: OpenArgs): Promise<Opened> {
  const video = await LoopedVideo.open(clips, frames, size);
  const weights = await openCheckpoint(await fromUrl(weightsUrl, { name: weightsName }));
  const source = clips.map(({ name }) => name).join(" ");
  const description = await storeDescription(weights, { size, fps, source });
  const gpu = await openGpu();
  const gpuBytes = countBytes(gpu.device);
  const encoder = await FrameEncoder.create(gpu, weights, { frames: FRAMES, size, runs: Math.ceil(frames / FRAMES) });
  const decoder = await FrameDecoder.create(gpu, weights, { steps: STEPS, height: size, width: size });
  job = { gpu, gpuBytes, video, encoder, decoder, codes: null };
  return { adapter: gpu.adapter, description, steps: Math.ceil(frames / compressorOf(weights).time) };
}

/** The codes of the next run; the first call says with which step they begin. null: the video is over. */
export async function next({ from }: { readonly from: number }): Promise<Codes | null> {
  job.codes ??= encodeVideo(job.video, job.encoder, { from });
  const { value } = await job.codes.next();
  return value ?? null;
}

/** Bytes of all buffers and textures on the GPU. */
export const gpuBytes = (): number => job.gpuBytes();

/** Decodes codes of whole steps and compares the pictures with the source's frames from `first` on. */
export async function look({ first, codes }: { readonly first: number; readonly codes: Codes }): Promise<Look> {
  const began = performance.now();
  const decoded: Uint8ClampedArray[] = [];
  for await (const rgba of job.decoder.frames(codes)) decoded.push(rgba);
  const ms = performance.now() - began;
  const indices = decoded.map((_, i) => first + i).filter((index) => index < job.video.frameCount);
  let [squares, count] = [0, 0];
  for await (const { index, frame } of job.video.frames(indices)) {
    const { data } = await readRgba(frame);
    const got = decoded[index - first]!;
    for (let i = 0; i < data.length; i++) if (i % 4 < 3) squares += (data[i]! - got[i]!) ** 2;
    count += (data.length / 4) * 3;
  }
  return { frames: decoded.length, ms, psnr: 10 * Math.log10((255 ** 2 * count) / squares) };
}
