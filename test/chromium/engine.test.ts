// Kinema in a headless Chromium: models, op cases, frames of a browser, and a browser without WebGPU.
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import type { NamedTensor } from "../../src/run.ts";
import { compare, readGolden } from "../golden.ts";
import { difference } from "../video/frame_device.ts";
import type { SyntheticRun } from "./page/engine.ts";
import type { VideoFrameCase } from "./page/frames.ts";
import { usePage } from "./use_page.ts";

const fixture = usePage("test/chromium/page/main.ts");

describe("the engine in Chromium", () => {
  it("runs tsm-mobilenetv2-online frame by frame as PyTorch runs the clip, layer by layer", async () => {
    const golden = await readGolden("tsm-mobilenetv2-online");
    const { inputName, inputShape } = golden;
    const taps = [...golden.tensors.keys()].filter((name) => name !== inputName && name !== "logits");
    const call: SyntheticRun = { model: "tsm-mobilenetv2-online", classes: 27, inputName, inputShape, taps };
    const tensors = await fixture.page.call<(NamedTensor & { name: string })[]>("runSynthetic", call);
    expect(tensors.length).toBeGreaterThan(50);
    const wrong: string[] = [];
    for (const { name, data } of tensors) {
      const stride = Number(golden.metadata[`stride:${name}`] ?? 1);
      const seen = data.filter((_, i) => i % stride === 0);
      const { max, cosine, largest } = compare(seen, golden.tensors.get(name)!);
      // As in test/model.test.ts: f32 against f64, whose errors grow with the square root of the depth.
      const near = name === "logits" ? max <= 1e-3 : max <= 1e-4 * Math.max(1, largest);
      if (!near || !(cosine >= 0.999999)) wrong.push(`${name}: off by ${max}, cosine ${cosine}`);
    }
    expect(wrong).toEqual([]);
  }, 60_000);

  it("gives every op case its f64 answer", async () => {
    expect(await fixture.page.call("countCases")).toBeGreaterThan(50);
    expect(await fixture.page.call<string[]>("runCases", null, { stallMs: 60_000 })).toEqual([]);
  }, 180_000);

  it("keeps in the browser what was tuned", async () => {
    const { before, found, kept } = await fixture.page.call<Record<string, object | null>>("keptBodies");
    expect(before).toBeNull();
    expect(Object.keys(found!)).toHaveLength(1);
    expect(kept).toEqual(found);
  }, 60_000);

  it("creates nothing a frame but what an external texture needs", async () => {
    const frames = 5;
    const { counts, labels } = await fixture.page.call<{ counts: Record<string, number>; labels: string[] }>(
      "pushedCreations",
      { frames },
    );
    expect(counts).toEqual({ importExternalTexture: frames, createBindGroup: frames });
    expect(labels.length).toBe(frames);
    for (const label of labels) expect(["still", "left", "right"]).toContain(label);
  }, 60_000);
});

interface Ingested {
  readonly fast: Float32Array;
  readonly reference: Float32Array;
  readonly pil: Uint8Array;
  readonly drawn: Uint8Array;
  readonly imported: boolean;
}

describe("frames of a browser", () => {
  it.each<VideoFrameCase>([
    { format: "RGBA", width: 160, height: 120 },
    { format: "RGBA", width: 131, height: 243, rotation: 90, flip: true },
    { format: "I420", width: 320, height: 240 },
    { format: "I420", width: 202, height: 154, rotation: 270 },
  ])("a VideoFrame without a copy is near its picture and its own bytes: %o", async (frame) => {
    const { fast, reference, pil, drawn, imported } = await fixture.page.call<Ingested>("ingestVideoFrame", frame);
    expect(imported).toBe(true);
    expect(difference(reference, pil).largest).toBeLessThan(1e-4);
    // Sampler against PIL: derived in test/video/frame_fast.test.ts. 4:2:0 adds half a step of luma (255 / 219) and of
    // chroma (1.86 * 255 / 224) at most: 1.6 levels.
    const near = frame.format === "RGBA" ? 3 : 4.6;
    expect(difference(fast, drawn).largest).toBeLessThan(near);
    expect(difference(fast, drawn).mean).toBeLessThan(1);
    // The browser's own RGBA (libyuv) has 2.0 for BT.709's coefficient of 2.112 in blue, which fits no signed byte: 5.3 %
    // of the blue chroma, here at most 0.053 * 170 levels.
    const blue = frame.format === "RGBA" ? 0 : 9;
    for (const channel of [0, 1, 2]) {
      const [got, want] = [fast, reference].map((values) => values.filter((_, i) => i % 4 === channel));
      const largest = got!.reduce((most, value, i) => Math.max(most, Math.abs(value - want![i]!)), 0);
      expect(largest, `channel ${channel}`).toBeLessThan(near + (channel === 2 ? blue : 0));
    }
  });

  it("a canvas and a bitmap are the bytes that are on them", async () => {
    const { bytes, canvas, bitmap } = await fixture.page.call<Record<string, Float32Array>>("ingestCanvas", {
      width: 149,
      height: 113,
    });
    expect(bytes!.some((value) => value > 100)).toBe(true);
    expect(canvas).toEqual(bytes);
    expect(bitmap).toEqual(bytes);
  });

  it("refuses closed frames", async () => {
    const [closedFrame, closedBitmap, ...again] =
      await fixture.page.call<{ code: string; message: string }[]>("refusedFrames");
    expect(closedFrame).toEqual({
      code: "bad-input",
      message: "this VideoFrame is closed; pass it before closing it",
    });
    expect(closedBitmap).toEqual({ code: "bad-input", message: "a frame of 0 x 0 pixels holds nothing" });
    expect(again).toEqual([closedFrame, closedBitmap]);
  });
});

describe("a browser that cannot", () => {
  it("says that it has no WebGPU", async () => {
    const failure = await fixture.page.call("openGpuFails");
    expect(failure).toMatchObject({ code: "no-webgpu", secure: true });
    expect((failure as { message: string }).message).toMatch(/no WebGPU \(navigator\.gpu\); use a recent Chrome/);
  });

  it("says that WebGPU needs a secure context", async () => {
    const tab = await fixture.browser.puppeteer.newPage();
    const functions = await readFile(fixture.bundle, "utf8");
    await tab.setRequestInterception(true);
    tab.on("request", (request) => {
      const script = request.url().endsWith(".js");
      const html = '<!doctype html><script type="module">import * as f from "/page.js"; f.serve(f);</script>';
      request.respond({ contentType: script ? "text/javascript" : "text/html", body: script ? functions : html });
    });
    await tab.goto("http://kinema.test/");
    const answer = await tab.evaluate(() =>
      globalThis.kinemaPage!.call({ id: 1, name: "openGpuFails", json: '{"value":null}', inputs: null, outputs: "" }),
    );
    await tab.close();
    const failure = JSON.parse((answer as { json: string }).json).value;
    expect(failure).toMatchObject({ code: "no-webgpu", secure: false });
    expect(failure.message).toMatch(/secure context: serve the page over https or from localhost/);
  });
});
