// Runs in a browser: makes small video files with WebCodecs and mediabunny, so that no file need be committed.
import {
  AudioSample,
  AudioSampleSource,
  BufferTarget,
  EncodedVideoPacketSource,
  MkvOutputFormat,
  Mp4OutputFormat,
  Output,
  Quality,
  type VideoCodec,
  VideoSample,
  VideoSampleSource,
  type VideoTrackMetadata,
  WebMOutputFormat,
} from "mediabunny";

const BITS = 8;

/** A frame that carries its number: eight columns, bright for a one, over a dark band; RGBA [height, width, 4]. */
function numbered(number: number, width: number, height: number): Uint8Array<ArrayBuffer> {
  const pixels = new Uint8Array(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) {
    const column = Math.floor(((i % width) / width) * BITS);
    const value = Math.floor(i / width) > height * 0.75 ? 60 : (number >> column) & 1 ? 220 : 30;
    pixels.fill(value, i * 4, i * 4 + 3);
  }
  return pixels;
}

/** The number in a frame that `numbered` drew, read from its luma plane. */
export async function readNumber(frame: VideoFrame): Promise<number> {
  const bytes = new Uint8Array(frame.allocationSize());
  const [luma] = await frame.copyTo(bytes);
  const { width, height } = frame.visibleRect!;
  let number = 0;
  for (let bit = 0; bit < BITS; bit++) {
    const x = Math.floor(((bit + 0.5) / BITS) * width);
    if (bytes[luma!.offset + Math.floor(height / 3) * luma!.stride + x]! > 125) number |= 1 << bit;
  }
  return number;
}

export interface Recipe {
  readonly container: "mp4" | "webm";
  readonly width: number;
  readonly height: number;
  /** Start of every frame in seconds. */
  readonly timestamps: readonly number[];
  readonly track?: VideoTrackMetadata;
  readonly codec?: VideoCodec;
}

const finish = async (
  output: Output<Mp4OutputFormat | WebMOutputFormat | MkvOutputFormat, BufferTarget>,
  name: string,
) => {
  await output.finalize();
  return new File([output.target.buffer!], name);
};

/** Frame k shows the number k. A key frame every half second. */
export async function makeVideo({ container, width, height, timestamps, track, codec = "vp9" }: Recipe): Promise<File> {
  const format = container === "mp4" ? new Mp4OutputFormat({ fastStart: "in-memory" }) : new WebMOutputFormat();
  const output = new Output({ format, target: new BufferTarget() });
  const source = new VideoSampleSource({ codec, quality: new Quality(0.5), keyFrameInterval: 0.5 });
  output.addVideoTrack(source, track);
  await output.start();
  for (const [k, timestamp] of timestamps.entries()) {
    const duration = (timestamps[k + 1] ?? timestamp + 0.04) - timestamp;
    const init = { format: "RGBA", codedWidth: width, codedHeight: height, timestamp, duration } as const;
    const sample = new VideoSample(numbered(k, width, height), init);
    await source.add(sample);
    sample.close();
  }
  return finish(output, `made.${container}`);
}

/** A second of silence and nothing else. */
export async function makeAudioOnly(): Promise<File> {
  const output = new Output({ format: new MkvOutputFormat(), target: new BufferTarget() });
  const source = new AudioSampleSource({ codec: "pcm-s16" });
  output.addAudioTrack(source);
  await output.start();
  const data = new Int16Array(8000);
  await source.add(new AudioSample({ data, format: "s16", numberOfChannels: 1, sampleRate: 8000, timestamp: 0 }));
  return finish(output, "sound.mkv");
}

/** A well-formed MP4 whose video track has a decoder configuration and no frame. */
export async function makeFrameless(decoderConfig: VideoDecoderConfig, codec: VideoCodec): Promise<File> {
  const output = new Output({ format: new Mp4OutputFormat({ fastStart: "in-memory" }), target: new BufferTarget() });
  output.addVideoTrack(new EncodedVideoPacketSource(codec), { decoderConfig });
  await output.start();
  return finish(output, "frameless.mp4");
}
