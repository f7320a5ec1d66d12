// ViT and STAM files of a few kilobytes on the command line: one that runs, and those that it refuses with one line.
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { fromBytes } from "../../src/weights/byte_source.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { fileOf, numbersFor, SMALL, stam, vit } from "../weights/support/transformer_names.ts";
import { expectRefusal, kinema } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const SHAPES: Record<string, readonly number[]> = stam(SMALL);
const clip = (frames: number, size = 8) =>
  files.input(`clip_${frames}_${size}.safetensors`, "video", [frames, 3, size, size]);
const image = files.input("image.safetensors", "image", [2, 3, 8, 8]);
const out = files.path("out.safetensors");
const run = (model: string, weights: string, input: string) =>
  ["run", model, "--weights", weights, "--in", input, "--out", out] as const;

const logitsOf = async () =>
  (await openCheckpoint(fromBytes(new Uint8Array(readFileSync(out))))).readF32("logits").then((logits) => [...logits]);

describe("a small STAM", () => {
  it("without qkv.bias runs as with one of zeros; containers and extras change nothing", {
    timeout: 180_000,
  }, async () => {
    const shapes = { ...SHAPES, "head_dist.bias": [5] };
    const numbers = numbersFor(shapes);
    for (const [name, values] of numbers) if (name.endsWith("qkv.bias")) values.fill(0);
    const zeros = files.write("zeros.safetensors", fileOf(shapes, "safetensors", {}, numbers));
    const named = Object.entries(SHAPES).filter(([name]) => !name.endsWith("qkv.bias"));
    const fewer = new Map(named.map(([name]) => [name, numbers.get(name)!]));
    const none = files.write("none.pth", fileOf(Object.fromEntries(named), "torch legacy", {}, fewer));
    const answers: number[][] = [];
    for (const weights of [zeros, none]) {
      const { code, stderr } = await kinema(...run("stam", weights, clip(4)));
      expect(stderr).toMatch(/logits \[5\] to/);
      expect(code).toBe(0);
      answers.push(await logitsOf());
    }
    expect(answers[0]!.every(Number.isFinite)).toBe(true);
    expect(new Set(answers[0]).size).toBe(5);
    expect(answers[1]).toEqual(answers[0]);
  });
});

describe("what cannot run, one line each", () => {
  const good = files.write("good.pth", fileOf(SHAPES, "torch zip"));
  const without = (pattern: RegExp) =>
    Object.fromEntries(Object.entries(SHAPES).filter(([name]) => !pattern.test(name)));
  const file = (name: string, shapes: Readonly<Record<string, readonly number[]>>) =>
    files.write(`${name}.safetensors`, fileOf(shapes, "safetensors"));

  it.each<[string, readonly string[], RegExp]>([
    [
      "a clip of another length",
      run("stam", good, clip(3)),
      /its clips have 4 frames .* and 3 were asked for: give 4, or 1 for a stream$/m,
    ],
    [
      "frames of another size",
      run("stam", good, clip(4, 12)),
      /its frames have 8x8 pixels \(pos_embed\) and 12x12 were asked for/,
    ],
    [
      "blocks of another width",
      run("stam", file("width", { ...SHAPES, ...vit({ ...SMALL, width: 128 }), pos_embed: [1, 5, 64] }), clip(4)),
      /tokens have 64 channels \(pos_embed\) and these another number: blocks\.0\.attn\.qkv\.weight 128, .*patch_embed\.proj\.weight 128$/m,
    ],
    [
      "missing blocks",
      run("stam", file("blocks", without(/^blocks\.0\.|layers\.0\./)), clip(4)),
      /1 of 2 blocks are missing: 0; 1 of 2 aggregate\.transformer_enc\.layers are missing: 0$/m,
    ],
    [
      "missing tensors",
      run("stam", file("tensors", without(/^norm\.|0\.attn\.proj\.bias/)), clip(4)),
      /do not fit the model: 3 missing: .*norm\.weight/,
    ],
    [
      "half of a file",
      run("stam", files.write("half.pth", fileOf(SHAPES, "torch legacy").subarray(0, 100_000)), clip(4)),
      /\d+ truncated: /,
    ],
    [
      "a distilled DeiT",
      run("vit", file("distilled", { ...vit(SMALL), dist_token: [1, 1, 64] }), image),
      /belongs to a distilled DeiT \(dist_token\)/,
    ],
    ["another model's file", run("vit", good, image), /holds stam, not vit; give the model's own file/],
  ])("%s", { timeout: 120_000 }, async (_what, args, message) => {
    await expectRefusal(args, message);
  });
});
