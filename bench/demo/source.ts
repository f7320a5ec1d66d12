// Frames of a camera or of a playing video, pulled: the newest one there is, and none in between is kept.

/** A frame and its place in the source's own time. Whoever gets it closes it. */
export interface TimedFrame {
  readonly frame: VideoFrame;
  /** Seconds. */
  readonly time: number;
}

/** Something that shows frames now. */
export interface Source {
  readonly name: string;
  /** Shown as in a mirror, so that it has to be seen as in a mirror. */
  readonly mirrored: boolean;
  /** Frames a second that a camera says it sends. */
  readonly frameRate?: number | undefined;
  /** The next frame that the source shows; null once it has ended or was closed. */
  next(): Promise<TimedFrame | null>;
  /** Told after each frame how fast the model could go, in units of the source's own speed. A file plays no faster. */
  keepUp?(speed: number): void;
  /** Stops camera or playback. Idempotent. */
  close(): void;
}

/** What browsers allow at the least, and by how much the speed must be off to be changed. */
const SLOWEST = 1 / 16;
const SLACK = 1.25;

/** Not in TypeScript's library: the specification is a draft, and Firefox has none. */
declare class MediaStreamTrackProcessor {
  constructor(init: { track: MediaStreamTrack; maxBufferSize?: number });
  readonly readable: ReadableStream<VideoFrame>;
}

type Frames = Pick<Source, "next" | "close">;

/**
 * Asks for the camera and shows it in `video`. A camera that faces the user is mirrored.
 * @param signal when aborted before the camera was granted, it is switched off again
 * @param say receives a line when the camera falls silent, and an empty one when it is back
 * @throws an Error with a line for people when there is no camera or it was refused
 */
export async function openCamera(
  video: HTMLVideoElement,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<Source> {
  if (!navigator.mediaDevices) throw new Error("No camera here: a page may use it over https or from localhost only.");
  const wish = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
  const stream = await navigator.mediaDevices.getUserMedia({ video: wish }).catch((error) => {
    throw new Error(cameraMessage(error));
  });
  const track = stream.getVideoTracks()[0]!;
  if (signal.aborted) track.stop(); // something else was chosen while the question was open
  signal.throwIfAborted();
  track.onmute = () => say("The camera sends no picture: is it covered or switched off?");
  track.onunmute = () => say("");
  video.srcObject = stream;
  const played = video.play().catch(() => {}); // interrupted by the next source
  const direct = "MediaStreamTrackProcessor" in globalThis;
  if (!direct) await played;
  const frames = direct ? fromTrack(track) : fromElement(video, track);
  const close = () => {
    frames.close();
    track.stop();
    if (video.srcObject === stream) video.srcObject = null;
  };
  const { facingMode, frameRate } = track.getSettings();
  return { name: "the camera", mirrored: facingMode !== "environment", frameRate, next: frames.next, close };
}

/**
 * Plays a video file in `video`, round and round, slower where the model cannot keep up.
 * @throws an Error with a line for people when it cannot be played
 */
export async function openFile(video: HTMLVideoElement, file: File, signal: AbortSignal): Promise<Source> {
  const url = URL.createObjectURL(file);
  const close = () => {
    frames.close();
    if (video.src === url) {
      video.removeAttribute("src");
      video.load();
    }
    URL.revokeObjectURL(url);
  };
  const frames = fromElement(video);
  let smooth = 1;
  const keepUp = (speed: number) => {
    const change = Math.min(1, Math.max(SLOWEST, speed)) - smooth;
    smooth += change < 0 ? change : 0.3 * change; // frames that were missed do not come again
    const ratio = smooth / video.playbackRate;
    if (ratio > SLACK || ratio < 1 / SLACK || smooth > 0.95) video.playbackRate = smooth > 0.95 ? 1 : smooth;
  };
  video.src = url;
  video.playbackRate = 1;
  const playable = await video.play().then(
    () => video.videoWidth > 0,
    () => false,
  );
  if (!playable || signal.aborted) {
    close();
    signal.throwIfAborted();
    throw new Error(`${file.name} is not a video that this browser plays; give an MP4 or WebM file.`);
  }
  return { name: file.name, mirrored: false, next: frames.next, keepUp, close };
}

/** Straight from the track, where the browser can: a buffer of one frame, in which a newer one replaces it. */
function fromTrack(track: MediaStreamTrack): Frames {
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1 }).readable.getReader();
  return {
    next: async () => {
      const { value: frame } = await reader.read();
      return frame ? { frame, time: frame.timestamp / 1e6 } : null;
    },
    close: () => void reader.cancel().catch(() => {}),
  };
}

/** What a video element presents. A frame made of it shares the decoder's memory. */
function fromElement(video: HTMLVideoElement, track?: MediaStreamTrack): Frames {
  let open = true;
  let finish: (frame: TimedFrame | null) => void = () => {};
  const close = () => {
    open = false;
    finish(null);
  };
  track?.addEventListener("ended", close);
  const next = () =>
    new Promise<TimedFrame | null>((resolve) => {
      finish = resolve;
      if (!open) return resolve(null);
      video.requestVideoFrameCallback((_now, { mediaTime }) => {
        if (open) resolve({ frame: new VideoFrame(video, { timestamp: mediaTime * 1e6 }), time: mediaTime });
      });
    });
  return { next, close };
}

function cameraMessage({ name, message }: DOMException): string {
  if (name === "NotAllowedError") return "The camera was refused: allow it in the address bar, or choose a video.";
  if (name === "NotFoundError") return "There is no camera: connect one, or choose a video.";
  if (name === "NotReadableError") return "The camera does not start: another program may be using it.";
  return `The camera does not start: ${message}`;
}
