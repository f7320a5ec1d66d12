// `kinema compress` in the page: decode with WebCodecs, ingest, encode. Node asks for one run's codes after another, so that no more
// than a run is anywhere at a time.
import { COMPRESSOR_SIZE, compressorOf, FrameEncoder, storeDescription } from "../../compressor.ts";
import { fail } from "../../core/fail.ts";
import { openGpu } from "../../gpu/device.ts";
import type { Codes, StoreDescription } from "../../store/index.ts";
import { openVideo, type Video } from "../../video/decode.ts";
import { openCheckpoint } from "../../weights/checkpoint.ts";
import { fromUrl } from "../../weights/url_source.ts";
import { encodeVideo } from "./encode_video.ts";
import { preparing, type Report } from "./report.ts";

export interface OpenCompressionArgs {
  readonly videoUrl: string;
  /** What the store calls the video. */
  readonly videoName: string;
  readonly weightsUrl: string;
  readonly weightsName: string;
  /** Side of the square frames in pixels. */
  readonly size?: number;
}

export interface CompressionInfo {
  readonly adapter: string;
  readonly description: StoreDescription;
  /** Code steps of the whole video. */
  readonly steps: number;
}

/** Frames a run: a multiple of what a code covers, enough to fill a GPU, and few enough to see progress without one. */
const FRAMES = 8;

interface Compression {
  readonly video: Video;
  readonly encoder: FrameEncoder;
  readonly close: () => void;
  frames: AsyncGenerator<Codes, void, undefined> | null;
}

let current: Compression | null = null;

/** Opens video and weights; what is wrong with either is said here. */
export async function openCompression(
  args: OpenCompressionArgs,
  report: Report,
  signal: AbortSignal,
): Promise<CompressionInfo> {
  const video = await openVideo(args.videoUrl);
  const checkpoint = await openCheckpoint(await fromUrl(args.weightsUrl, { signal, name: args.weightsName }));
  const size = args.size ?? COMPRESSOR_SIZE;
  const { time } = compressorOf(checkpoint);
  const description = await storeDescription(checkpoint, { size, fps: video.fps, source: args.videoName });
  const gpu = await openGpu();
  const encoder = await FrameEncoder.create(gpu, checkpoint, {
    frames: FRAMES,
    size,
    runs: Math.ceil(video.frameCount / FRAMES),
    onProgress: preparing(report),
  });
  const close = () => {
    encoder.dispose();
    video.close();
    gpu.dispose();
  };
  current = { video, encoder, close, frames: null };
  return { adapter: gpu.adapter, description, steps: Math.ceil(video.frameCount / time) };
}

/** The codes of the next run, [steps, codebooks, rows, columns]; the first call says with which step they begin. null: the video is over. */
export async function nextCodes(args: { readonly from: number }): Promise<Codes | null> {
  const job = current ?? fail("closed", "no video is open; call openCompression first");
  job.frames ??= encodeVideo(job.video, job.encoder, { from: args.from });
  const { value, done } = await job.frames.next();
  if (!done) return value;
  job.close();
  current = null;
  return null;
}
