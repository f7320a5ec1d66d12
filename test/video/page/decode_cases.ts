// Runs in a browser: what openVideo makes of made files, as plain data for the test in Node to judge.
import { serve } from "../../../src/host/page/rpc.ts";
import { openVideo, type Video } from "../../../src/video/decode.ts";
import type { DecodedFrame } from "../../../src/video/decode_frames.ts";
import { readRgba } from "../../../src/video/rgba.ts";
import { makeAudioOnly, makeFrameless, makeVideo, type Recipe, readNumber } from "./make_video.ts";

const steady = (count: number, fps = 25) => Array.from({ length: count }, (_, k) => k / fps);

/** Frames that exist: decoder outputs and copies made, less frames closed. */
const alive = { now: 0, most: 0 };

function countFrames(): void {
  const add = () => {
    alive.most = Math.max(alive.most, ++alive.now);
  };
  const { close } = VideoFrame.prototype;
  VideoFrame.prototype.close = function () {
    if (this.format !== null) alive.now--;
    close.call(this);
  };
  // A proxy, so that frames of the decoder stay instances of VideoFrame.
  const CountedFrame = new Proxy(VideoFrame, {
    construct(target, args) {
      const frame = Reflect.construct(target, args);
      add();
      return frame;
    },
  });
  class CountedDecoder extends VideoDecoder {
    constructor({ output, error }: VideoDecoderInit) {
      const counted = (frame: VideoFrame) => {
        add();
        output(frame);
      };
      super({ output: counted, error });
    }
  }
  Object.assign(globalThis, { VideoFrame: CountedFrame, VideoDecoder: CountedDecoder });
}

const facts = ({ frameCount, width, height, stored, rotation, flip, fps, duration, codec }: Video) => ({
  frameCount,
  width,
  height,
  stored,
  rotation,
  flip,
  fps,
  duration,
  codec,
});

async function collect(frames: AsyncIterable<DecodedFrame>) {
  const seen: { index: number; number: number; timestamp: number }[] = [];
  for await (const { index, frame, timestamp } of frames)
    seen.push({ index, number: await readNumber(frame), timestamp });
  return seen;
}

/** Sizes of the first frame's pixels, and its mean colour over the dark band at the bottom. */
async function pixelsOf(video: Video) {
  for await (const { frame } of video.frames([0])) {
    const { data, width, height } = await readRgba(frame);
    const band = data.subarray(Math.ceil(height * 0.85) * width * 4);
    const mean = [0, 1, 2, 3].map(
      (c) => band.filter((_, i) => i % 4 === c).reduce((a, b) => a + b, 0) / (band.length / 4),
    );
    return { width, height, length: data.length, mean };
  }
  return null;
}

async function inspect(recipe: Recipe, indices: readonly number[]) {
  using video = await openVideo(await makeVideo(recipe));
  const frames = await collect(video.frames(indices));
  const all = await collect(video.all());
  return { facts: facts(video), frames, all: all.map(({ number }) => number), pixels: await pixelsOf(video) };
}

const refusal = async (work: () => Promise<unknown>) => {
  try {
    await work();
    return { code: "none", message: "" };
  } catch (error) {
    const { code, name, message } = error as { code?: string; name: string; message: string };
    return { code: code ?? name, message };
  }
};

const openAndDecode = async (file: Blob | string) => {
  using video = await openVideo(file);
  await collect(video.all());
};

async function damaged(): Promise<File> {
  const file = await makeVideo({ container: "mp4", width: 128, height: 96, timestamps: steady(20) });
  const bytes = new Uint8Array(await file.arrayBuffer());
  bytes.fill(255, bytes.length - 200); // the last frames' data: the index comes first in this file
  return new File([bytes], "damaged.mp4");
}

async function refusals() {
  const recipe: Recipe = { container: "mp4", width: 128, height: 96, timestamps: steady(20) };
  const whole = await makeVideo(recipe);
  const webm = await makeVideo({ ...recipe, container: "webm" });
  const hevc = { codec: "hvc1.1.6.L93.B0", codedWidth: 64, codedHeight: 64, description: new Uint8Array(23) };
  const vp9 = { codec: "vp09.00.10.08", codedWidth: 64, codedHeight: 64 };
  using video = await openVideo(whole);
  const files: Record<string, Blob | string> = {
    empty: new File([], "empty.mp4"),
    html: new File(["<!DOCTYPE html><title>404</title>"], "page.mp4"),
    pointer: new File(["version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"], "pointer.mp4"),
    noise: new File([crypto.getRandomValues(new Uint8Array(5000))], "noise.mp4"),
    missing: `${location.origin}/there-is-no-such-file.mp4`,
    sound: await makeAudioOnly(),
    frameless: await makeFrameless(vp9, "vp9"),
    codec: await makeFrameless(hevc, "hevc"),
    trackless: new File([whole.slice(0, new DataView(await whole.slice(0, 4).arrayBuffer()).getUint32(0))], "type.mp4"),
    cutIndex: new File([whole.slice(0, 300)], "cut.mp4"),
    cutFrames: new File([whole.slice(0, whole.size - 100)], "cut.mp4"),
    cutWebm: new File([webm.slice(0, webm.size - 100)], "cut.webm"),
    damaged: await damaged(),
  };
  const results: Record<string, { code: string; message: string }> = {};
  for (const [name, file] of Object.entries(files)) results[name] = await refusal(() => openAndDecode(file));
  results.outside = await refusal(() => collect(video.frames([3, 20])));
  return results;
}

async function aborting() {
  const file = await makeVideo({ container: "mp4", width: 128, height: 96, timestamps: steady(60) });
  const before = await refusal(() => openVideo(file, { signal: AbortSignal.abort(new Error("before")) }));
  const controller = new AbortController();
  const video = await openVideo(file, { signal: controller.signal });
  let count = 0;
  const during = await refusal(async () => {
    for await (const _ of video.all()) if (++count === 5) controller.abort(new Error("during"));
  });
  return { before: before.message, during: during.message, count };
}

async function lifetimes() {
  using video = await openVideo(
    await makeVideo({ container: "webm", width: 128, height: 96, timestamps: steady(100) }),
  );
  alive.most = alive.now;
  const atStart = alive.now;
  let closedBehind = true;
  let previous: VideoFrame | undefined;
  for await (const { frame } of video.all()) {
    if (previous && previous.format !== null) closedBehind = false;
    previous = frame;
    await new Promise((done) => setTimeout(done, 2)); // a slow consumer: decoded frames must not pile up
  }
  const most = alive.most - atStart;
  for await (const { index } of video.all()) if (index === 7) break;
  for (let i = 0; i < 50 && alive.now > atStart; i++) await new Promise((done) => setTimeout(done, 20));
  return { closedBehind: closedBehind && previous?.format === null, most, left: alive.now - atStart };
}

export { serve };

/** Frame counts of files by address, and the indices that came when eight and when all were asked for. */
export async function countClip(url: string) {
  using video = await openVideo(url);
  const wanted = Array.from({ length: 8 }, (_, x) => Math.floor(((x + 0.5) * video.frameCount) / 8));
  const sampled: number[] = [];
  for await (const { index } of video.frames(wanted)) sampled.push(index);
  return { ...facts(video), wanted, sampled };
}

/** How opening and decoding a file by address fails. */
export function refuse(url: string) {
  return refusal(() => openAndDecode(url));
}

/** Everything that needs no file from outside. */
export async function decodeMadeFiles() {
  countFrames();
  const uneven = [0, 0.04, 0.2, 0.21, 0.5, 0.9, 1.3, 1.31, 1.35, 2];
  return {
    steady: await inspect({ container: "webm", width: 160, height: 90, timestamps: steady(60) }, [59, 7, 30, 7]),
    uneven: await inspect({ container: "mp4", width: 161, height: 91, timestamps: uneven }, [8, 0, 6, 3]),
    turned: await inspect(
      { container: "mp4", width: 160, height: 90, timestamps: steady(5), track: { rotation: 90, flip: true } },
      [2],
    ),
    single: await inspect({ container: "webm", width: 64, height: 48, timestamps: [0] }, [0, 0, 0]),
    refusals: await refusals(),
    aborting: await aborting(),
    lifetimes: await lifetimes(),
  };
}
