import {
  BlobSource,
  type EncodedPacket,
  EncodedPacketSink,
  Input,
  type InputVideoTrack,
  MATROSKA,
  MP4,
  MPEG_TS,
  QTFF,
  UrlSource,
  WEBM,
} from "mediabunny";
import { fail } from "../core/fail.ts";
import { declaredSize, HEAD_BYTES, unreadable } from "./container.ts";
import { type DecodedFrame, decodeFrames, explain } from "./decode_frames.ts";
import type { Rotation, Size } from "./geometry.ts";

/** An opened video file. Close it at the end. */
export interface Video {
  /** Exact: the packets of the video track were counted. */
  readonly frameCount: number;
  /** After rotation. As in PIL and OpenCV, pixels count as square whatever the file says of their shape. */
  readonly width: number;
  readonly height: number;
  /** Before rotation: the `source` of {@link place}. */
  readonly stored: Size;
  /** Clockwise turn that the frames still need. */
  readonly rotation: Rotation;
  /** The frames are to be mirrored left to right after the turn. */
  readonly flip: boolean;
  /** Mean frame rate, frames a second; 0 for a single frame of unknown duration. */
  readonly fps: number;
  /** Seconds from the first frame's start to the last one's end. */
  readonly duration: number;
  /** Codec string, such as "avc1.64001f". */
  readonly codec: string;
  /**
   * Decodes the named frames, each once, and yields them in increasing order; an index named twice is yielded twice,
   * with the same frame. At most a handful of decoded frames exist at a time.
   *
   * @throws `usage` for an index outside the video, `bad-video` for what cannot be decoded
   */
  frames(indices: readonly number[]): AsyncGenerator<DecodedFrame, void, undefined>;
  /** Decodes every frame, in order. */
  all(): AsyncGenerator<DecodedFrame, void, undefined>;
  close(): void;
  [Symbol.dispose](): void;
}

/**
 * Opens a video file with mediabunny and the browser's WebCodecs decoders. Runs in a window or a worker.
 *
 * @param source file contents, or a URL that the page may fetch
 * @param options.signal stops the opening and, later, all decoding
 * @throws `bad-video` for what is not a video, has no video track or no frame, is cut off, or needs a codec that this
 *   browser lacks; the signal's reason when it is aborted
 */
export async function openVideo(source: Blob | string, options: { signal?: AbortSignal } = {}): Promise<Video> {
  const { signal } = options;
  signal?.throwIfAborted();
  const name = nameOf(source);
  const input = new Input({
    source: typeof source === "string" ? new UrlSource(source, { getRetryDelay: () => null }) : new BlobSource(source),
    formats: [MP4, QTFF, WEBM, MATROSKA, MPEG_TS],
  });
  const stop = () => input.dispose();
  signal?.addEventListener("abort", stop, { once: true });
  const close = () => {
    signal?.removeEventListener("abort", stop);
    input.dispose();
  };
  try {
    const head = await headOf(source, signal);
    if (head.length === 0 || !(await input.canRead())) fail("bad-video", `${name} ${unreadable(head)}`);
    await checkWhole(input, head, name);
    return await describe(input, name, signal, close);
  } catch (error) {
    close();
    throw explain(error, signal, `${name} cannot be read as a video`);
  }
}

async function describe(
  input: Input,
  name: string,
  signal: AbortSignal | undefined,
  close: () => void,
): Promise<Video> {
  const track = await videoTrack(input, name);
  const { timestamps, duration } = await timeline(track, name);
  const stored = { width: await track.getCodedWidth(), height: await track.getCodedHeight() };
  const rotation = await track.getRotation();
  const decode = (wanted: readonly number[]) => decodeFrames({ track, name, timestamps, rotation, signal }, wanted);
  return {
    frameCount: timestamps.length,
    width: rotation % 180 === 0 ? stored.width : stored.height,
    height: rotation % 180 === 0 ? stored.height : stored.width,
    stored,
    rotation,
    flip: await track.getFlip(),
    fps: duration > 0 ? timestamps.length / duration : 0,
    duration,
    codec: await codecOf(track),
    frames: (indices) => decode(indices),
    all: () => decode(timestamps.map((_, index) => index)),
    close,
    [Symbol.dispose]: close,
  };
}

async function checkWhole(input: Input, head: Uint8Array, name: string): Promise<void> {
  const [declared, size] = [declaredSize(head), await input.source.getSizeOrNull()];
  if (size !== null && size < declared)
    fail("bad-video", `${name} is cut off: ${size} of at least ${declared} bytes are there; copy or download it again`);
}

async function videoTrack(input: Input, name: string): Promise<InputVideoTrack> {
  const track = await input.getPrimaryVideoTrack();
  if (!track) {
    const others = (await input.getTracks()).map((other) => other.type);
    if (others.length === 0)
      fail("bad-video", `${name} has no track at all; it may be cut off, copy or export it again`);
    const found = [...new Set(others)].join(" and ");
    fail("bad-video", `${name} has no video track, only ${found}; give a file with a picture`);
  }
  if (!(await track.canDecode())) {
    const codec = await codecOf(track);
    fail("bad-video", `${name}: this browser has no decoder for ${codec}; convert it to H.264, VP9 or AV1`, { codec });
  }
  return track;
}

async function codecOf(track: InputVideoTrack): Promise<string> {
  const internal = await track.getInternalCodecId();
  const fallback = internal instanceof Uint8Array || internal === null ? "an unknown codec" : String(internal);
  return (await track.getCodecParameterString()) ?? (await track.getCodec()) ?? fallback;
}

/** Start of every frame in presentation order and the length of the whole, in seconds. */
async function timeline(track: InputVideoTrack, name: string): Promise<{ timestamps: number[]; duration: number }> {
  const sink = new EncodedPacketSink(track);
  const timestamps: number[] = [];
  let last: EncodedPacket | undefined;
  let shown: EncodedPacket | undefined;
  for await (const packet of sink.packets(undefined, undefined, { metadataOnly: true })) {
    timestamps.push(packet.timestamp);
    last = packet;
    if (!shown || packet.timestamp > shown.timestamp) shown = packet;
  }
  if (!last || !shown) return fail("bad-video", `${name} has a video track without frames; record or export it again`);
  // A file cut off behind its index names frames it does not hold.
  if (!(await sink.getPacket(last.timestamp)))
    fail(
      "bad-video",
      `${name} is cut off: the last of its ${timestamps.length} frames is missing; copy or export it again`,
    );
  timestamps.sort((a, b) => a - b);
  const length = shown.timestamp - timestamps[0]!;
  // WebM does not say how long the last frame lasts: as long as the others do on average.
  return { timestamps, duration: length + (shown.duration || length / Math.max(1, timestamps.length - 1)) };
}

function nameOf(source: Blob | string): string {
  if (source instanceof Blob) return source instanceof File ? source.name : "the video";
  const last = source.split(/[?#]/)[0]!.split("/").at(-1)!;
  try {
    return decodeURIComponent(last) || source;
  } catch {
    return last; // a lone percent sign
  }
}

/** The first bytes of the file. A server that ignores the range is stopped after them. */
async function headOf(source: Blob | string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (source instanceof Blob) return new Uint8Array(await source.slice(0, HEAD_BYTES).arrayBuffer());
  const range = { headers: { range: `bytes=0-${HEAD_BYTES - 1}` } };
  const response = await fetch(source, signal ? { ...range, signal } : range);
  if (response.status === 416) return new Uint8Array(0); // a file without a first byte has no such range
  if (!response.ok) throw new Error(`${response.status} ${response.statusText} for ${source}`);
  const parts: Uint8Array[] = [];
  for (const reader = response.body!.getReader(); ; ) {
    const { value, done } = await reader.read();
    if (value) parts.push(value);
    if (done || parts.reduce((sum, part) => sum + part.length, 0) >= HEAD_BYTES) {
      if (!done) await reader.cancel();
      return new Uint8Array(await new Blob(parts as BlobPart[]).slice(0, HEAD_BYTES).arrayBuffer());
    }
  }
}
