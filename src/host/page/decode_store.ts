// `kinema decode` in the page: codes to frames on the GPU, frames to WebM with WebCodecs. Node asks for the file piece by piece, so that
// no more than a run of frames and what the encoder holds is in memory.
import {
  canEncodeVideo,
  Output,
  QUALITY_HIGH,
  StreamTarget,
  type StreamTargetChunk,
  VideoSample,
  VideoSampleSource,
  WebMOutputFormat,
} from "mediabunny";
import { FrameDecoder, trackOfWeights } from "../../compressor.ts";
import { fail } from "../../core/fail.ts";
import { openGpu } from "../../gpu/device.ts";
import { secondsOf } from "../../store/description.ts";
import { type CodesTrack, openStore, type StoreReader } from "../../store/index.ts";
import { openCheckpoint } from "../../weights/checkpoint.ts";
import { fromUrl } from "../../weights/url_source.ts";
import { preparing, type Report } from "./report.ts";

export interface OpenDecodingArgs {
  readonly storeUrl: string;
  readonly storeName: string;
  readonly weightsUrl: string;
  readonly weightsName: string;
  /** Seconds of the video; without `to` up to its end. */
  readonly from: number;
  readonly to?: number;
}

export interface DecodingInfo {
  readonly adapter: string;
  /** Frames that will be written. */
  readonly frames: number;
  readonly width: number;
  readonly height: number;
}

/** Bytes of the WebM file and where they belong; later ones may replace earlier ones. */
export interface FilePiece {
  readonly position: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface DecodedPieces {
  readonly pieces: readonly FilePiece[];
  /** Frames written so far. */
  readonly frames: number;
  readonly done: boolean;
}

/** Code steps a run. */
const STEPS = 4;
/** Frames between two looks at what the muxer has written. */
const FRAMES = 16;

let current: AsyncGenerator<DecodedPieces, void, undefined> | null = null;

/** Opens store and weights, which must be those that it was written with. */
export async function openDecoding(args: OpenDecodingArgs, report: Report, signal: AbortSignal): Promise<DecodingInfo> {
  const reader = await openStore(await fromUrl(args.storeUrl, { name: args.storeName }));
  const checkpoint = await openCheckpoint(await fromUrl(args.weightsUrl, { signal, name: args.weightsName }));
  const track = await trackOfWeights(reader.description, checkpoint, args.storeName);
  const range = stepRange(reader, track, args);
  const codec = await encodable();
  const gpu = await openGpu();
  const { width, height } = reader.description;
  const decoder = await FrameDecoder.create(gpu, checkpoint, {
    steps: STEPS,
    width,
    height,
    runs: Math.ceil((range.to - range.from) / STEPS),
    onProgress: preparing(report),
  });
  current = pieces(reader, track, decoder, codec, range);
  return { adapter: gpu.adapter, frames: (range.to - range.from) * track.stride[0], width, height };
}

/** Steps [from, to) that show between two times. */
function stepRange(reader: StoreReader, track: CodesTrack, { from, to, storeName }: OpenDecodingArgs) {
  const steps = reader.steps(track.name);
  const first = reader.stepAt(from, track.name);
  const { fps } = reader.description;
  const end =
    to === undefined ? steps : Math.min(steps, Math.ceil(((to * fps[0]) / fps[1] / track.stride[0]) * (1 - 1e-9)));
  if (end <= first || from * (fps[0] / fps[1]) >= steps * track.stride[0]) {
    const seconds = secondsOf(reader.description, steps * track.stride[0]).toFixed(2);
    fail("usage", `${storeName} is ${seconds} s long; give --from and --to within it, the later one last`);
  }
  return { from: first, to: end };
}

async function encodable(): Promise<"vp9" | "vp8" | "av1"> {
  for (const codec of ["vp9", "vp8", "av1"] as const) if (await canEncodeVideo(codec)) return codec;
  return fail("unsupported", "this browser encodes none of VP9, VP8 and AV1; use another browser");
}

/** The next pieces of the file. */
export async function nextPieces(): Promise<DecodedPieces> {
  const { value } = await (current ?? fail("closed", "no store is open; call openDecoding first")).next();
  return value ?? { pieces: [], frames: 0, done: true };
}

async function* pieces(
  reader: StoreReader,
  track: CodesTrack,
  decoder: FrameDecoder,
  codec: "vp9" | "vp8" | "av1",
  range: { readonly from: number; readonly to: number },
): AsyncGenerator<DecodedPieces, void, undefined> {
  const { width, height, fps } = reader.description;
  const written: FilePiece[] = [];
  const take = () => written.splice(0);
  const writable = new WritableStream<StreamTargetChunk>({
    write: ({ data, position }) => void written.push({ position, bytes: data.slice() }),
  });
  const output = new Output({ format: new WebMOutputFormat(), target: new StreamTarget(writable) });
  const source = new VideoSampleSource({ codec, quality: QUALITY_HIGH, keyFrameInterval: 2 });
  output.addVideoTrack(source, { frameRate: fps[0] / fps[1] });
  await output.start();
  const seconds = fps[1] / fps[0];
  let frames = 0;
  const codesPerStep = track.grid[0] * track.grid[1] * track.codebooks.length;
  for await (const chunk of reader.chunks(range.from, range.to, track.name)) {
    const codes = chunk.codes();
    const [first, end] = [Math.max(range.from, chunk.first), Math.min(range.to, chunk.first + chunk.steps)];
    const wanted = codes.subarray((first - chunk.first) * codesPerStep, (end - chunk.first) * codesPerStep);
    for await (const rgba of decoder.frames(wanted)) {
      const sample = new VideoSample(rgba, {
        format: "RGBA",
        codedWidth: width,
        codedHeight: height,
        timestamp: frames * seconds,
        duration: seconds,
      });
      await source.add(sample);
      sample.close();
      if (++frames % FRAMES === 0) yield { pieces: take(), frames, done: false };
    }
  }
  await output.finalize();
  const { gpu } = decoder.session;
  decoder.dispose();
  gpu.dispose();
  yield { pieces: take(), frames, done: true };
}
