/** Where the camera and what it films are at one instant. Angles in radians, positions in metres. */
export interface Pose {
  /** Positive to the right. */
  readonly yaw: number;
  /** Positive upwards. */
  readonly pitch: number;
  /** Positive clockwise, seen from behind the camera. */
  readonly roll: number;
  /** Natural logarithm of the magnification. */
  readonly zoom: number;
  /** Metres right of the middle; null where it is not in the picture. */
  readonly ball: number | null;
  readonly hand: number | null;
}

export const FPS = 25;

/** The part of a frame's time that the shutter is open. */
export const SHUTTER = 0.4;

type Track = keyof Pose;

interface Segment {
  /** Named from the camera's point of view: in "pan right" the camera turns right and the picture moves left. */
  readonly motion: string;
  readonly frames: number;
  readonly track?: Track;
  readonly from?: number;
  readonly to?: number;
}

const degrees = (value: number) => (value * Math.PI) / 180;
const START = { yaw: 0, pitch: degrees(-21), roll: 0, zoom: 0, ball: null, hand: null };

const [RIGHT, UP, ROLL, ZOOM] = [degrees(19), degrees(19), degrees(27), Math.log(1.5)];

const SEGMENTS: readonly Segment[] = [
  { motion: "still", frames: 30 },
  { motion: "pan right", frames: 32, track: "yaw", from: 0, to: RIGHT },
  { motion: "still", frames: 16 },
  { motion: "tilt up", frames: 32, track: "pitch", from: START.pitch, to: START.pitch + UP },
  { motion: "zoom in", frames: 32, track: "zoom", from: 0, to: ZOOM },
  { motion: "zoom out", frames: 32, track: "zoom", from: ZOOM, to: 0 },
  { motion: "roll clockwise", frames: 32, track: "roll", from: 0, to: ROLL },
  { motion: "roll anticlockwise", frames: 32, track: "roll", from: ROLL, to: 0 },
  { motion: "pan left", frames: 32, track: "yaw", from: RIGHT, to: 0 },
  { motion: "tilt down", frames: 32, track: "pitch", from: START.pitch + UP, to: START.pitch },
  { motion: "still", frames: 16 },
  { motion: "subject right", frames: 32, track: "hand", from: -0.46, to: 0.46 },
  { motion: "still", frames: 12 },
  { motion: "subject left", frames: 32, track: "ball", from: 0.64, to: -0.64 },
  { motion: "still", frames: 6 },
];

export const FRAMES = SEGMENTS.reduce((sum, { frames }) => sum + frames, 0);

/** True motion by time: what the clip shows from `from` to `to`, in seconds. */
export function trueMotion(): { motion: string; from: number; to: number }[] {
  let frame = 0;
  return SEGMENTS.map(({ motion, frames }) => {
    const from = frame / FPS;
    frame += frames;
    return { motion, from, to: frame / FPS };
  });
}

/** The pose at a time in frames, which need not be whole. */
export function poseAt(time: number): Pose {
  const pose: Record<Track, number | null> = { ...START };
  let start = 0;
  for (const { frames, track, from = 0, to = 0 } of SEGMENTS) {
    const part = (time - start) / frames;
    if (track === "hand" || track === "ball") pose[track] = part >= 0 && part < 1 ? from + (to - from) * part : null;
    else if (track && part >= 0) pose[track] = from + (to - from) * ease(Math.min(part, 1));
    start += frames;
  }
  return pose as Pose;
}

/** Speeds up over the first eighth, slows down over the last, and is even between. */
function ease(part: number): number {
  const ramp = 1 / 8;
  const speed = 1 / (1 - ramp);
  if (part < ramp) return (speed * part * part) / (2 * ramp);
  if (part > 1 - ramp) return 1 - (speed * (1 - part) * (1 - part)) / (2 * ramp);
  return speed * (part - ramp / 2);
}
