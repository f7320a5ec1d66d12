// `kinema classify` on made videos and, where they are, on real ones.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchBrowser } from "../../src/host/chromium.ts";
import { openPage } from "../../src/host/page.ts";
import { dataFile, hasData } from "../data.ts";
import { syntheticFile, transformerFile } from "../synthetic_model.ts";
import { type Ended, expectRefusal, kinema } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

/** Kinema's own metadata: small frames, so that a run takes a fraction of a second. */
const small = (more: object = {}) => ({ preprocess: JSON.stringify({ resize: 72, crop: 64, ...more }) });
const LABELS = ["still", "to the left", "to the right"];
const weights: Record<string, string> = {};

beforeAll(async () => {
  const bundle = files.path("make_files.js");
  const options = { bundle: true, format: "esm", target: "es2022", logLevel: "error" } as const;
  await build({ entryPoints: [join(import.meta.dirname, "page/make_files.ts")], outfile: bundle, ...options });
  const browser = await launchBrowser();
  try {
    const page = await openPage(browser, { bundle });
    const made = await page.call<Record<string, Uint8Array>>("makeFiles");
    for (const [name, bytes] of Object.entries(made)) files.write(name, bytes);
  } finally {
    await browser.close();
  }
  const classes = JSON.stringify(LABELS);
  weights.clip = files.write("clip.safetensors", syntheticFile("tsm-mobilenetv2", 3, { ...small(), classes }));
  const online = syntheticFile("tsm-mobilenetv2-online", 3, { ...small({ fps: 5 }), classes });
  weights.online = files.write("online.safetensors", online);
}, 120_000);

const classify = (video: string, file: string, ...more: string[]) =>
  kinema("classify", video, "--weights", file, ...more);

/** The one object on stdout, which holds nothing else. */
function only({ code, stdout, stderr }: Ended): Record<string, unknown> {
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^\{.*\}\n$/);
  return JSON.parse(stdout);
}

interface Ranked {
  readonly label: string;
  readonly index: number;
  readonly score: number;
}

describe("kinema classify", () => {
  it("writes one object with the promised keys, of a video with fewer frames than the clip", {
    timeout: 60_000,
  }, async () => {
    const report = only(await classify(files.path("three.webm"), weights.clip!, "--json"));
    expect(Object.keys(report)).toEqual(["model", "adapter", "frames", "top", "ms", "bytes"]);
    expect(report.model).toBe("tsm-mobilenetv2");
    expect(report.adapter).toMatch(/\w/);
    // N = 3, T = 8: floor(N / T * (x + 1/2)).
    expect(report.frames).toEqual([0, 0, 0, 1, 1, 2, 2, 2]);
    const ranked = report.top as Ranked[];
    expect(ranked.map((entry) => Object.keys(entry))).toEqual(Array(3).fill(["label", "index", "score"]));
    expect(ranked.map(({ label, index }) => LABELS[index] === label)).toEqual([true, true, true]);
    expect(ranked.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 6);
    expect(ranked.map(({ score }) => score)).toEqual(ranked.map(({ score }) => score).sort((a, b) => b - a));
    for (const part of ["ms", "bytes"] as const)
      for (const value of Object.values(report[part] as Record<string, number>))
        expect(value).toBeGreaterThanOrEqual(0);
    expect(Object.keys(report.ms as object).sort()).toEqual(["decode", "ingest", "prepare", "run"]);
    expect(report.bytes).toMatchObject({ weights: expect.any(Number), activations: expect.any(Number), states: 0 });
  });

  it("samples densely when told, of a turned video, and prints labels for people", { timeout: 60_000 }, async () => {
    const args = ["--frames", "4", "--sampling", "dense", "--top", "2"];
    const { code, stdout, stderr } = await classify(files.path("turned.mp4"), weights.clip!, ...args);
    expect([code, stderr]).toEqual([0, ""]);
    const lines = stdout.trimEnd().split("\n");
    for (const line of lines.slice(0, 2)) expect(line).toMatch(/^ *\d+\.\d % {2}(still|to the left|to the right)$/);
    expect(lines[2]).toBe("");
    expect(lines[3]).toMatch(/^tsm-mobilenetv2 on \S.+$/);
    expect(lines[4]).toBe("frames 0 16 32 8"); // every 16th of 40, from the start again at its end
    expect(lines[5]).toMatch(/^prepare \d+ ms, decode \d+ ms, ingest \d+ ms, run \d+ ms$/);
    expect(lines[6]).toMatch(/^weights \d+\.\d MB, activations \d+\.\d MB, states 0\.0 MB$/);
    expect(lines.length).toBe(7);
  });

  it("gives an online model's spans, end to end", { timeout: 60_000 }, async () => {
    const report = only(await classify(files.path("turned.mp4"), weights.online!, "--json"));
    expect(Object.keys(report).sort()).toEqual(["adapter", "bytes", "frames", "model", "ms", "spans", "top"]);
    expect(report.frames).toEqual([0, 5, 10, 15, 20, 25, 30, 35]); // 25 frames a second, thinned to 5
    const spans = report.spans as { from: number; to: number; label: string; index: number; score: number }[];
    expect(spans[0]!.from).toBe(0);
    expect(spans.at(-1)!.to).toBeCloseTo(1.6, 3);
    for (const [i, { from, to, label, index }] of spans.entries()) {
      expect(from).toBeLessThan(to);
      expect(from).toBe(spans[i - 1]?.to ?? 0);
      expect(LABELS[index]).toBe(label);
    }
    expect((report.bytes as { states: number }).states).toBeGreaterThan(0);
  });

  it("draws what a stam looked at, and says each frame's weight", { timeout: 120_000 }, async () => {
    const file = files.write("stam.safetensors", transformerFile("stam", 6));
    const out = files.path("explained.png");
    const report = only(await classify(files.path("turned.mp4"), file, "--explain", out, "--json"));
    expect(Object.keys(report).sort()).toEqual(["adapter", "bytes", "frames", "model", "ms", "top", "weights"]);
    expect(report.frames).toEqual([5, 15, 25, 35]); // 1.6 seconds are not ten: the middles of four parts of 40
    const weights = report.weights as number[];
    expect(weights).toHaveLength(4);
    expect(weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
    const png = readFileSync(out);
    expect([...png.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    // Four frames of 24 pixels in a row, 8 between; below them a bar of 14.
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([8 + 4 * 32, 8 + 24 + 22 + 8]);
    const image = await classify(files.path("three.webm"), files.write("vit.safetensors", transformerFile("vit", 7)));
    expect(image.stdout).toMatch(/^vit on /m);
  });

  it("runs stam as a stream, frame by frame", { timeout: 120_000 }, async () => {
    const file = files.write("stream.safetensors", transformerFile("stam", 6));
    const report = only(await classify(files.path("turned.mp4"), file, "--online", "--json"));
    expect(report.model).toBe("stam");
    expect(report.frames).toEqual([0]); // 4 frames in ten seconds are one in 2.5; the video lasts 1.6
    expect(report.spans).toHaveLength(1);
    expect((report.bytes as { states: number }).states).toBe(5 * 48 * 4);
  });

  it("refuses to explain what has no attention, a stream, and a place that cannot be written", async () => {
    const video = files.path("three.webm");
    const out = files.path("none.png");
    const explain = (file: string, ...more: string[]) => ["classify", video, "--weights", file, "--explain", ...more];
    await expectRefusal(explain(weights.clip!, out), /--explain draws the attention of a stam or vit; tsm-mobilenetv2/);
    await expectRefusal(explain(weights.clip!, out, "--online"), /--explain draws the frames of a clip, --online has/);
    await expectRefusal(explain(weights.clip!, files.folder), /is a folder; give --explain the name of a file/);
    const stam = files.write("four.safetensors", transformerFile("stam", 6));
    await expectRefusal(["classify", video, "--weights", stam, "--frames", "8"], /clips have 4 frames .* 8 were asked/);
  }, 60_000);

  it.each([
    ["no video track", "sound.mkv", /sound\.mkv has no video track, only audio; give a file with a picture/],
    ["no frame", "frameless.mp4", /frameless\.mp4 has a video track without frames/],
    ["a file cut off", "cut.mp4", /cut\.mp4 is cut off: \d+ of at least \d+ bytes are there/],
  ])("refuses %s", { timeout: 60_000 }, async (_name, file, message) => {
    await expectRefusal(["classify", files.path(file), "--weights", weights.clip!, "--json"], message);
  });

  it("refuses weights of another model or without a classifier, and labels of another count", async () => {
    const video = files.path("three.webm");
    const other = ["classify", video, "--weights", weights.clip!, "--model", "tsm-resnet50"];
    await expectRefusal(other, /the weights do not fit the model: \d+ missing/);
    const headless = files.write("backbone.safetensors", syntheticFile("mobilenetv2", null));
    await expectRefusal(
      ["classify", video, "--weights", headless],
      /backbone\.safetensors has no classifier, only feat/,
    );
    const two = files.write("two.txt", "yes\nno\n");
    const labels = ["classify", video, "--weights", weights.clip!, "--labels", two];
    await expectRefusal(labels, /2 labels for the 3 classes of .*clip\.safetensors; give one a class, in order/);
  }, 60_000);
});

const DOG = [
  "clips/sam2-01_dog.mp4",
  "weights/mobilenet_v2_1.0_224_tf_fp32.safetensors",
  "labels/imagenet_labels_1001.txt",
] as const;

describe.skipIf(!hasData(...DOG))("a real video with real weights", () => {
  it("shows a dog", { timeout: 120_000 }, async () => {
    const [clip, file, labels] = DOG.map(dataFile) as [string, string, string];
    const report = only(await classify(clip, file, "--model", "mobilenetv2", "--labels", labels, "--json"));
    expect(report.frames).toEqual([18, 54, 90, 126, 162, 198, 234, 270]); // of 289, as specification 3.1 samples
    const [first] = report.top as Ranked[];
    // ImageNet's dog breeds are classes 151 to 268, behind the background class 152 to 269.
    expect(first!.index).toBeGreaterThanOrEqual(152);
    expect(first!.index).toBeLessThanOrEqual(269);
    expect(first!.label).toMatch(/\w/);
  });
});

const DEIT = "weights/deit_tiny_patch16_224_fp32.safetensors";
const COFFEE = "clips/sam2-04_coffee.mp4";

describe.skipIf(!hasData(DOG[0], COFFEE, DEIT))("real videos with DeiT's real weights", () => {
  it("shows a dog, and vessels of metal", { timeout: 240_000 }, async () => {
    const firstOf = async (clip: string) => {
      const report = only(await classify(dataFile(clip), dataFile(DEIT), "--frames", "3", "--json"));
      expect(report.model).toBe("vit");
      return report.top as Ranked[];
    };
    const [dog] = await firstOf(DOG[0]);
    expect(dog!.index).toBeGreaterThanOrEqual(151);
    expect(dog!.index).toBeLessThanOrEqual(268);
    // A steel kettle before a white shirt: the small network wavers between vessels and a doctor's things, in PyTorch too.
    const coffee = (await firstOf(COFFEE)).map(({ index }) => index);
    const vessels = [463, 505, 822, 849, 859, 899]; // bucket, coffeepot, steel drum, teapot, toaster, water jug
    expect(coffee.filter((index) => vessels.includes(index)).length).toBeGreaterThan(0);
  });
});
