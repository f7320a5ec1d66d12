// What can be recorded: a camera, in real time, and a video file, every frame of it.
import { COMPRESSOR_SIZE, type FrameEncoder } from "../../src/compressor.ts";
import { encodeVideo } from "../../src/host/page/encode_video.ts";
import type { Codes } from "../../src/store/index.ts";
import { openVideo } from "../../src/video/decode.ts";
import type { Orientation } from "../../src/video/ingest.ts";
import { openCamera } from "../demo/source.ts";
import { encodeLive } from "./live.ts";

/** Frames a run for a file: enough to fill a GPU, and few enough to see progress without one. */
const FILE_RUN = 8;
/** For a camera that does not say how many frames it sends. */
const USUAL_RATE = 30;

export interface EncodeOptions {
  /** Ends the recording: what was taken so far is encoded. */
  readonly signal: AbortSignal;
  /** Told of each frame that is taken, and of how many were missed just before it. */
  readonly onFrame: (frame: VideoFrame, missed: number) => void;
}

/** Something to record. */
export interface Input {
  readonly name: string;
  readonly live: boolean;
  /** Frames a second of the recording. */
  readonly fps: number;
  /** Code steps a run of the encoder when a step has so many frames. */
  stepsARun(time: number): number;
  /** Codes of its frames, whole steps at a time. */
  codes(encoder: FrameEncoder, options: EncodeOptions): AsyncGenerator<Codes, void, undefined>;
  /** Idempotent. */
  close(): void;
}

/** Asks for the camera and shows it in `video`. @throws an Error with a line for people when there is none or it was refused */
export async function cameraInput(
  video: HTMLVideoElement,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<Input> {
  const camera = await openCamera(video, signal, say);
  const fps = camera.frameRate || USUAL_RATE;
  return {
    name: "camera",
    live: true,
    fps,
    stepsARun: () => 1,
    codes: (encoder, options) => encodeLive(camera.next, encoder, { fps, ...options }),
    close: camera.close,
  };
}

/** Opens a video file and draws its first frame. @throws "bad-video" */
export async function fileInput(file: File, canvas: HTMLCanvasElement): Promise<Input> {
  const video = await openVideo(file);
  try {
    for await (const { frame } of video.frames([0])) drawSquare(canvas, frame, video);
  } catch (error) {
    video.close();
    throw error;
  }
  return {
    name: file.name,
    live: false,
    fps: video.fps,
    stepsARun: (time) => FILE_RUN / time,
    codes: (encoder, { signal, onFrame }) => {
      const shown = (frame: VideoFrame) => {
        drawSquare(canvas, frame, video);
        onFrame(frame, 0);
      };
      return encodeVideo(video, encoder, { signal, onFrame: shown });
    },
    close: video.close,
  };
}

/** Draws the centre square of a frame, turned as it is to be shown: what the encoder takes of it. */
function drawSquare(canvas: HTMLCanvasElement, frame: VideoFrame, { rotation = 0, flip = false }: Orientation): void {
  const context = canvas.getContext("2d")!;
  const { displayWidth: width, displayHeight: height } = frame;
  const side = Math.min(width, height);
  canvas.width = COMPRESSOR_SIZE;
  canvas.height = COMPRESSOR_SIZE;
  context.translate(COMPRESSOR_SIZE / 2, COMPRESSOR_SIZE / 2);
  if (flip) context.scale(-1, 1);
  context.rotate((rotation * Math.PI) / 180);
  context.scale(COMPRESSOR_SIZE / side, COMPRESSOR_SIZE / side);
  context.drawImage(frame, -width / 2, -height / 2);
}
