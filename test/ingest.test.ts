// FrameIngest on Dawn: frames given as RGBA bytes and as textures. VideoFrames need a browser: test/chromium.
import { beforeAll, describe, expect, it } from "vitest";
import type { GpuRange } from "../src/session.ts";
import { IMAGENET, type Preprocessing, place } from "../src/video/geometry.ts";
import { type Frame, FrameIngest, type IngestOptions, type Orientation, type Pixels } from "../src/video/ingest.ts";
import { cropPil, normalise } from "../src/video/pil.ts";
import { recordCreations } from "./creations.ts";
import { readStored, useGpu } from "./gpu.ts";
import { BYTES, difference } from "./video/frame_device.ts";
import { generatedFrame, smoothFrame } from "./video/frames.ts";

const fixture = useGpu();
const CROP = 37;
const SLOTS = 3;
const SLOT_LENGTH = CROP * CROP * 4;

/** Small, and the bytes themselves: whatever differs from PIL shows. */
const PIXELS: Preprocessing = { ...BYTES, resize: 43, crop: CROP };
const NETWORK: Preprocessing = { ...IMAGENET, resize: 43, crop: CROP };

const pixels = (width: number, height: number, make = generatedFrame): Pixels => ({
  width,
  height,
  data: make(width, height),
});

const pil = ({ width, height, data }: Pixels, { rotation, flip }: Orientation = {}, preprocessing = PIXELS) =>
  cropPil(data, place({ width, height }, preprocessing, rotation, flip));

/** A clip tensor full of NaN, at an offset into its buffer. */
function makeTarget(slots = SLOTS, offset = 256): GpuRange {
  const size = slots * SLOT_LENGTH * 4;
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = fixture.gpu.device.createBuffer({ size: offset + size, usage });
  fixture.gpu.device.queue.writeBuffer(buffer, 0, new Float32Array(buffer.size / 4).fill(Number.NaN));
  return { buffer, offset, size };
}

function put(ingest: FrameIngest, frame: Frame, target: GpuRange, slot = 0, orientation: Orientation = {}): void {
  const encoder = fixture.gpu.device.createCommandEncoder();
  ingest.encode(encoder, frame, target, slot, orientation);
  fixture.gpu.device.queue.submit([encoder.finish()]);
}

async function slotsOf(target: GpuRange): Promise<Float32Array[]> {
  const clip = await readStored(fixture.gpu.device, target);
  return Array.from({ length: clip.length / SLOT_LENGTH }, (_, i) =>
    clip.slice(i * SLOT_LENGTH, (i + 1) * SLOT_LENGTH),
  );
}

const untouched = (slot: Float32Array | undefined) => slot!.every(Number.isNaN);
const makeIngest = (options: IngestOptions) => FrameIngest.create(fixture.gpu, options);

// byte / 255 / (1 / 255) is an ulp or two of 255 off, never half a byte.
const SAME_BYTES = 1e-4;

describe("the reference form", () => {
  it("is PIL's crop, normalised", async () => {
    using ingest = await makeIngest({ form: "reference", preprocessing: NETWORK });
    const frame = pixels(61, 47);
    const target = makeTarget(1);
    put(ingest, frame, target);
    const want = normalise(pil(frame, {}, NETWORK), NETWORK);
    const [got] = await slotsOf(target);
    // WGSL allows a division 2.5 ulp: of a value up to 1 before the mean is taken, and of the result up to 2.64.
    const allowed = (2.5 * 2 ** -24 + 2 ** -25) / Math.min(...NETWORK.std) + 2.5 * 2 ** -22;
    expect(
      difference(
        got!,
        want.filter((_, i) => i % 4 !== 3),
      ).largest,
    ).toBeLessThanOrEqual(allowed);
    expect(got!.filter((_, i) => i % 4 === 3).every((lane) => lane === 0)).toBe(true);
  });

  it.each<Orientation>([
    { rotation: 90 },
    { rotation: 180, flip: true },
    { rotation: 270, flip: true },
    { flip: true },
  ])("turns and mirrors: %o", async (orientation) => {
    using ingest = await makeIngest({ form: "reference", preprocessing: PIXELS });
    const frame = pixels(59, 83);
    const target = makeTarget(1);
    put(ingest, frame, target, 0, orientation);
    expect(difference((await slotsOf(target))[0]!, pil(frame, orientation)).largest).toBeLessThan(SAME_BYTES);
  });
});

describe("the fast form", () => {
  it("is near PIL on a smooth frame, turned and mirrored as well", async () => {
    using ingest = await makeIngest({ preprocessing: PIXELS });
    for (const orientation of [{}, { rotation: 90, flip: true } as const]) {
      const frame = pixels(113, 89, smoothFrame);
      const target = makeTarget(1);
      put(ingest, frame, target, 0, orientation);
      const { mean, largest } = difference((await slotsOf(target))[0]!, pil(frame, orientation));
      // Derived in test/video/frame_fast.test.ts.
      expect(largest).toBeLessThan(3);
      expect(mean).toBeLessThan(1);
    }
  });

  it("takes a texture as it takes bytes", async () => {
    const { device } = fixture.gpu;
    const frame = pixels(73, 51);
    const usage = GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST;
    const texture = device.createTexture({ size: [73, 51], format: "rgba8unorm", usage });
    device.queue.writeTexture({ texture }, frame.data, { bytesPerRow: 73 * 4 }, [73, 51]);
    for (const form of ["fast", "reference"] as const) {
      using ingest = await makeIngest({ form, preprocessing: PIXELS });
      const target = makeTarget(2);
      put(ingest, frame, target, 0);
      put(ingest, texture, target, 1);
      const [bytes, copied] = await slotsOf(target);
      expect(bytes!.some(Number.isNaN)).toBe(false);
      expect(copied, form).toEqual(bytes);
    }
    texture.destroy();
  });
});

describe.each(["fast", "reference"] as const)("slots and changes, %s form", (form) => {
  let ingest: FrameIngest;
  beforeAll(async () => {
    ingest = await makeIngest({ form, preprocessing: PIXELS });
  });
  const expectFrame = (slot: Float32Array | undefined, frame: Pixels, orientation: Orientation = {}) => {
    const { mean, largest } = difference(slot!, pil(frame, orientation));
    if (form === "reference") expect(largest).toBeLessThan(SAME_BYTES);
    else expect([largest < 3, mean < 1]).toEqual([true, true]);
  };
  const smooth = (width: number, height: number, seed: number) =>
    pixels(width, height, (w, h) => smoothFrame(w, h, seed));

  it("writes one slot and nothing else", async () => {
    const target = makeTarget();
    const [last, first] = [smooth(114, 97, 1), smooth(114, 97, 2)];
    put(ingest, last, target, 2);
    let slots = await slotsOf(target);
    expect([untouched(slots[0]), untouched(slots[1])]).toEqual([true, true]);
    put(ingest, first, target, 0);
    slots = await slotsOf(target);
    expect(untouched(slots[1])).toBe(true);
    expectFrame(slots[0], first);
    expectFrame(slots[2], last);
    const before = await readStored(fixture.gpu.device, { ...target, offset: 0, size: target.offset });
    expect(before.every(Number.isNaN)).toBe(true);
  });

  it("follows a stream whose size and turn change, and change back", async () => {
    const target = makeTarget();
    const turns: Orientation[] = [{}, { rotation: 270 }, {}];
    const frames = [smooth(131, 93, 3), smooth(99, 158, 4), smooth(131, 93, 5)];
    for (const [i, frame] of frames.entries()) put(ingest, frame, target, i, turns[i]!);
    const slots = await slotsOf(target);
    for (const [i, frame] of frames.entries()) expectFrame(slots[i], frame, turns[i]!);
  });

  it("writes where it is told when the target changes", async () => {
    const [one, other] = [makeTarget(), makeTarget()];
    const [a, b] = [smooth(126, 98, 6), smooth(126, 98, 7)];
    put(ingest, a, one, 1);
    put(ingest, b, other, 1);
    expectFrame((await slotsOf(one))[1], a);
    expectFrame((await slotsOf(other))[1], b);
  });

  it("creates nothing after the first frame of a geometry, bytes or texture", async () => {
    const { device } = fixture.gpu;
    const target = makeTarget();
    const usage = GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST;
    const texture = device.createTexture({ size: [62, 45], format: "rgba8unorm", usage });
    const frames: Frame[] = [smooth(62, 45, 8), texture];
    for (const frame of frames) for (let slot = 0; slot < SLOTS; slot++) put(ingest, frame, target, slot);
    const recorded = recordCreations(device);
    for (const frame of frames) for (let slot = 0; slot < SLOTS; slot++) put(ingest, frame, target, slot);
    recorded.stop();
    expect(recorded.counts).toEqual({});
    // The recorder does see what another size needs.
    const again = recordCreations(device);
    put(ingest, smooth(62, 46, 8), target);
    again.stop();
    expect(again.counts).toMatchObject({ createTexture: 1, createBindGroup: 1 });
    texture.destroy();
  });
});

describe("what is no frame", () => {
  it.each<[string, Frame, number, RegExp]>([
    ["no pixels", { width: 0, height: 0, data: new Uint8Array(0) }, 0, /a frame of 0 x 0 pixels holds nothing/],
    ["no height", { width: 4, height: 0, data: new Uint8Array(0) }, 0, /a frame of 4 x 0 pixels holds nothing/],
    ["too few bytes", { width: 4, height: 3, data: new Uint8Array(47) }, 0, /4 x 3 RGBA pixels are 48 bytes, got 47/],
    ["RGB bytes", { width: 4, height: 3, data: new Uint8Array(36) }, 0, /are 48 bytes, got 36/],
    [
      "a slot beyond the clip",
      { width: 4, height: 3, data: new Uint8Array(48) },
      SLOTS,
      /frame 3 lies beyond the clip/,
    ],
  ])("%s", async (_name, frame, slot, message) => {
    using ingest = await makeIngest({ form: "reference", preprocessing: PIXELS });
    const target = makeTarget();
    expect(() => put(ingest, frame, target, slot)).toThrow(
      expect.objectContaining({ code: "bad-input", message: expect.stringMatching(message) }),
    );
    expect((await slotsOf(target)).every(untouched)).toBe(true);
    put(ingest, pixels(9, 8), target, 1); // and the next frame is taken
    expect(untouched((await slotsOf(target))[1])).toBe(false);
  });

  it("a frame larger than the device's textures", async () => {
    using ingest = await makeIngest({ form: "fast", preprocessing: PIXELS });
    const width = fixture.gpu.device.limits.maxTextureDimension2D + 1;
    const frame = { width, height: 1, data: new Uint8Array(width * 4) };
    expect(() => put(ingest, frame, makeTarget())).toThrow(expect.objectContaining({ code: "limit-exceeded" }));
  });
});
