import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { FPS, FRAMES, type Pose, poseAt, trueMotion } from "../../tools/render_clip/timeline.ts";

const assets = new URL("../../bench/assets/", import.meta.url);
const HALF_VIEW = Math.tan((27.5 * Math.PI) / 180);
const HEIGHT = 2 * Math.atan(0.75 * HALF_VIEW); // radians in a picture's height

/** A step's camera motion in the units of the motion classes: heights, heights, factor of scale, degrees. */
function step(from: Pose, to: Pose) {
  const degrees = ((to.roll - from.roll) * 180) / Math.PI;
  return {
    pan: (to.yaw - from.yaw) / HEIGHT,
    tilt: (to.pitch - from.pitch) / HEIGHT,
    zoom: to.zoom - from.zoom,
    roll: degrees,
  };
}

/** Component and sign of each motion; a clear motion is at least `clear` a frame. */
const CAMERA: Readonly<Record<string, readonly ["pan" | "tilt" | "zoom" | "roll", number, number]>> = {
  "pan right": ["pan", 1, 0.008],
  "pan left": ["pan", -1, 0.008],
  "tilt up": ["tilt", 1, 0.008],
  "tilt down": ["tilt", -1, 0.008],
  "zoom in": ["zoom", 1, 0.008],
  "zoom out": ["zoom", -1, 0.008],
  "roll clockwise": ["roll", 1, 0.6],
  "roll anticlockwise": ["roll", -1, 0.6],
};

describe("the clip that ships with the project", () => {
  const truth = JSON.parse(readFileSync(new URL("motion.json", assets), "utf8"));

  it("is a WebM of at most 400 kB whose truth is the timeline's", () => {
    const file = readFileSync(new URL("motion.webm", assets));
    expect(file.readUInt32BE(0)).toBe(0x1a45dfa3);
    expect(file.length).toBeLessThanOrEqual(400_000);
    expect(truth).toEqual({ width: 320, height: 240, fps: FPS, frames: FRAMES, motions: trueMotion() });
  });

  it("covers 16 seconds without a gap", () => {
    const motions = trueMotion();
    expect(motions[0]!.from).toBe(0);
    motions.slice(1).forEach(({ from }, i) => {
      expect(from).toBe(motions[i]!.to);
    });
    expect(motions.at(-1)!.to).toBe(16);
  });

  it.each(trueMotion().filter(({ motion }) => motion in CAMERA))(
    "moves clearly and only so: $motion at $from s",
    ({ motion, from, to }) => {
      const [component, sign, clear] = CAMERA[motion]!;
      for (let frame = from * FPS + 4; frame < to * FPS - 5; frame++) {
        const moved = step(poseAt(frame), poseAt(frame + 1));
        expect(moved[component] * sign).toBeGreaterThan(clear);
        for (const [other, value] of Object.entries(moved))
          if (other !== component) expect(Math.abs(value)).toBeLessThan(1e-9);
      }
    },
  );

  it.each(trueMotion().filter(({ motion }) => !(motion in CAMERA)))(
    "holds the camera still: $motion at $from s",
    ({ motion, from, to }) => {
      for (let frame = Math.round(from * FPS); frame < Math.round(to * FPS); frame++) {
        const [now, next] = [poseAt(frame), poseAt(frame + 0.9)];
        for (const value of Object.values(step(now, next))) expect(Math.abs(value)).toBeLessThan(1e-9);
        const subject = now.hand ?? now.ball;
        expect(subject === null).toBe(motion === "still");
        if (subject !== null)
          expect(Math.sign((next.hand ?? next.ball)! - subject)).toBe(motion.endsWith("right") ? 1 : -1);
      }
    },
  );
});
