import { fail } from "../core/fail.ts";

/** Frames a dense clip spans, whatever its number of segments (I3D style). */
export const DENSE_SPAN = 64;

/** Clips of the dense test of TSM's published numbers. */
export const DENSE_CLIPS = 10;

/**
 * The middle frame of each of `segments` equal parts of a video: floor(tick/2 + tick*x), tick = frames/segments.
 *
 * Fewer frames than segments repeat frames; there is no special case. Source: TSM (arXiv 1811.08383), test sampling.
 * @param frames number of frames in the video, at least 1
 * @param segments number of indices wanted, at least 1
 * @returns `segments` zero-based indices, not decreasing
 * @throws `bad-video` for a video without frames, `usage` for counts that are not whole positive numbers
 */
export function sampleUniform(frames: number, segments: number): number[] {
  checkCounts(frames, segments);
  const tick = frames / segments;
  return Array.from({ length: segments }, (_, x) => Math.floor(tick / 2 + tick * x));
}

/**
 * Two uniform clips: the middle and the first frame of each part. Their logits are averaged.
 *
 * Source: TSM's accurate setting for Something-Something.
 * @returns two clips of `segments` indices
 * @throws as {@link sampleUniform}
 */
export function sampleTwice(frames: number, segments: number): number[][] {
  const middle = sampleUniform(frames, segments);
  const tick = frames / segments;
  return [middle, Array.from({ length: segments }, (_, x) => Math.floor(tick * x))];
}

/**
 * One dense clip: every floor(64/segments)-th frame from `start`, wrapping around at the end of the video.
 *
 * @param start first frame, in [0, frames)
 * @throws `usage` for more than 64 segments or a start outside the video; else as {@link sampleUniform}
 */
export function sampleDense(frames: number, segments: number, start = 0): number[] {
  checkCounts(frames, segments);
  if (segments > DENSE_SPAN)
    fail("usage", `dense sampling spans ${DENSE_SPAN} frames and was asked for ${segments}; use uniform sampling`);
  if (!Number.isInteger(start) || start < 0 || start >= frames)
    fail("usage", `dense clip starts at frame ${start} of ${frames}; give a start from 0 to ${frames - 1}`);
  const stride = Math.floor(DENSE_SPAN / segments);
  return Array.from({ length: segments }, (_, x) => (start + x * stride) % frames);
}

/**
 * The dense test: ten clips whose starts spread evenly over the video. Their logits are averaged.
 *
 * Starts are an integer-truncated linspace(0, P-1, 10) with P = max(1, frames-63), so a video of 64 frames or
 * fewer gives ten equal clips.
 * @throws as {@link sampleDense}
 */
export function sampleDenseTest(frames: number, segments: number): number[][] {
  checkCounts(frames, segments);
  const last = Math.max(1, frames - (DENSE_SPAN - 1)) - 1;
  // numpy's linspace multiplies by a rounded step and then sets the last value exactly.
  const step = last / (DENSE_CLIPS - 1);
  const start = (clip: number) => (clip === DENSE_CLIPS - 1 ? last : Math.trunc(clip * step));
  return Array.from({ length: DENSE_CLIPS }, (_, clip) => sampleDense(frames, segments, start(clip)));
}

/** Seconds that a clip of STAM covers in its authors' evaluation: 16 frames at 1.6 a second, 64 at 6.4. */
export const STAM_SECONDS = 10;

/** A video that is longer or shorter than this is no ten-second clip, which the authors' rule is for. */
const STAM_TOLERANCE = 0.5;

/**
 * Frames for STAM. Of a ten-second video (9.5 to 10.5 s) those of the authors' evaluation: from the start on, every step-th
 * frame, step = fps / rate with rate = segments / 10 s; where the step is no whole number, floor(i * step), the product in f32.
 * Of other lengths, and where the rule runs out of frames (the authors skip such a video), the middles of equal parts.
 *
 * Source: torchvision's resampling of video clips as STAM (arXiv 2103.13915) calls it; tsm-stam.md 7.
 * @param frames number of frames in the video, at least 1
 * @param fps frames a second; 0 where unknown
 * @throws as {@link sampleUniform}
 */
export function sampleStam(frames: number, fps: number, segments: number): number[] {
  checkCounts(frames, segments);
  const tenSeconds = fps > 0 && Math.abs(frames / fps - STAM_SECONDS) <= STAM_TOLERANCE;
  const rule = tenSeconds ? resample(frames, fps, segments / STAM_SECONDS) : [];
  return rule.length >= segments ? rule.slice(0, segments) : sampleUniform(frames, segments);
}

/** Every frame that torchvision's rule has of a video at a lower rate. */
function resample(frames: number, fps: number, rate: number): number[] {
  const step = fps / rate;
  const whole = Number.isInteger(step);
  const count = whole ? Math.ceil(frames / step) : Math.floor((frames * rate) / fps);
  return Array.from({ length: count }, (_, i) => (whole ? i * step : Math.floor(Math.fround(i * Math.fround(step)))));
}

function checkCounts(frames: number, segments: number): void {
  if (frames === 0) fail("bad-video", "the video has no frames; nothing can be sampled from it");
  if (!Number.isSafeInteger(frames) || frames < 0)
    fail("usage", `the number of frames is ${frames}; give a whole number of at least 1`);
  if (!Number.isSafeInteger(segments) || segments < 1)
    fail("usage", `the number of sampled frames is ${segments}; give a whole number of at least 1`);
}
