import { describe, expect, it } from "vitest";
import type { KinemaError } from "../../src/core/fail.ts";
import { fileSource } from "../../src/host/file_source.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { openTensors } from "../../src/weights/load.ts";
import { recognise } from "../../src/weights/recognise.ts";
import { checkTransformer, type TransformerWishes } from "../../src/weights/transformer.ts";
import { dataFile, hasData } from "./support/data.ts";
import { expectError, openBytes } from "./support/expect_error.ts";
import { fake, countParameters as parameters, type Shapes } from "./support/synthetic_names.ts";
import { type FileKind, fileOf, numbersFor, SMALL, stam, vit } from "./support/transformer_names.ts";

const DEIT = "weights/deit_tiny_patch16_224_fp32.safetensors";
const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

describe("STAM files", () => {
  // Parameters of tsm-stam.md 6; 32 and 64 frames differ by their positions.
  it.each([
    [8, 119_199_376],
    [16, 119_205_520],
    [32, 119_217_808],
    [64, 119_242_384],
  ])("of %i frames", (frames, count) => {
    const shapes = stam({ frames });
    expect(Object.keys(shapes).length).toBe(228);
    const found = recognise(fake(shapes, `stam_${frames}.pth`));
    expect(found).toMatchObject({
      model: "stam",
      classes: 400,
      segments: frames,
      unknown: [],
      ignored: [],
      shifted: [],
    });
    expect(parameters(shapes, found)).toBe(count);
    expect(found.transformer).toEqual({
      ...{ width: 768, depth: 12, heads: 12, hidden: 3072, patch: 16, imageSize: 224 },
      ...{ frames, temporalDepth: 6, temporalHeads: 8, temporalHidden: 2048 },
      ...{ qkvBias: true, epsilon: 1e-5, faults: [] },
      preprocessing: { resize: 256, crop: 224, filter: "bilinear", mean: [0, 0, 0], std: [1, 1, 1] },
    });
  });

  it("without qkv.bias: the bias is zeros and nothing asks for it", () => {
    const { transformer, unknown } = recognise(fake(stam({ qkvBias: false })));
    expect(transformer).toMatchObject({ qkvBias: false, faults: [] });
    expect(unknown).toEqual([]);
    const one = { ...stam({ qkvBias: false }), "blocks.4.attn.qkv.bias": [2304] };
    expect(recognise(fake(one)).transformer!.qkvBias).toBe(true); // the other eleven are missing then
  });

  it.each(["module.", "module.model.", "ema.", "module.module."])("with %s in front of every name", (prefix) => {
    const found = recognise(fake(stam({ prefix })));
    expect(found).toMatchObject({ model: "stam", unknown: [], transformer: { depth: 12, frames: 16, faults: [] } });
    expect(found.tensors.get("aggregate.pos_embed")).toBe(`${prefix}aggregate.pos_embed`);
    expect(found.tensors.get("blocks.11.mlp.fc2.bias")).toBe(`${prefix}blocks.11.mlp.fc2.bias`);
  });

  it("with what inference has no use for: reported and left alone", () => {
    const extra = {
      dist_token: [1, 1, 768],
      "optimizer.step": [1],
      "aggregate.fc.weight": [5, 768],
      "blocks.01.norm1.bias": [768],
    };
    const found = recognise(fake({ ...stam(), ...extra }));
    expect(found).toMatchObject({ model: "stam", transformer: { faults: [] } });
    expect(found.unknown).toEqual(Object.keys(extra));
  });

  it.each<FileKind>(["safetensors", "torch zip", "torch legacy"])(
    "of a few kilobytes, as %s, tensor by tensor",
    async (kind) => {
      const shapes = { ...stam({ ...SMALL, prefix: "module." }), "module.head_dist.bias": [5] };
      const checkpoint = await openBytes(fileOf(shapes, kind), "stam_4.bin");
      const found = recognise(checkpoint);
      expect(found.unknown).toEqual(["module.head_dist.bias"]);
      expect(found.transformer).toMatchObject({ frames: 4, imageSize: 8, hidden: 24, temporalHidden: 20, faults: [] });
      const wanted = new Map([...found.tensors].map(([name, raw]) => [name, shapes[raw as keyof typeof shapes]!]));
      const tensors = openTensors(checkpoint, wanted, found.tensors, "leave");
      expect([...tensors.keys()].length).toBe(Object.keys(shapes).length - 1);
      for (const [raw, numbers] of numbersFor(shapes))
        if (!raw.includes("head_dist")) expect(await tensors.get(raw.slice("module.".length)), raw).toEqual(numbers);
    },
  );
});

describe("ViT files", () => {
  it.each([
    ["tiny", 192, 3, 12],
    ["small", 384, 6, 12],
    ["base", 768, 12, 12],
    ["large", 1024, 16, 24],
    ["huge", 1280, 16, 32],
  ])("%s: width %i, %i heads, %i blocks", (_size, width, heads, depth) => {
    const found = recognise(fake(vit({ width, depth }), "deit.pth"));
    expect(found).toMatchObject({ model: "vit", classes: 1000, segments: null, unknown: [], folded: true });
    expect(found.transformer).toEqual({
      ...{ width, depth, heads, hidden: 4 * width, patch: 16, imageSize: 224, frames: null },
      ...{ temporalDepth: 0, temporalHeads: 0, temporalHidden: 0, qkvBias: true, epsilon: 1e-6, faults: [] },
      preprocessing: { resize: 256, crop: 224, filter: "bicubic", ...IMAGENET },
    });
  });

  it("of other patches, sizes and depths", () => {
    const { transformer } = recognise(fake(vit({ patch: 8, grid: 48, depth: 7, hidden: 100 })));
    expect(transformer).toMatchObject({ patch: 8, imageSize: 384, depth: 7, hidden: 100, faults: [] });
    expect(transformer!.preprocessing).toMatchObject({ resize: 438, crop: 384 });
  });

  it("without a classifier", () => {
    const { "head.weight": _weight, "head.bias": _bias, ...features } = vit() as Record<string, readonly number[]>;
    expect(recognise(fake(features))).toMatchObject({ model: "vit", classes: null, transformer: { faults: [] } });
  });

  it("of MIIL take values from 0 to 1", () => {
    const found = recognise(fake(vit({ qkvBias: false, classes: 11_221 }), "x/vit_base_patch16_224_miil_21k.pth"));
    expect(found.transformer!.preprocessing).toEqual({
      ...{ resize: 256, crop: 224, filter: "bilinear", mean: [0, 0, 0], std: [1, 1, 1] },
    });
  });

  it("follow their metadata", () => {
    const metadata = {
      ln_eps: "1e-5",
      heads: "6",
      preprocess: "resize 248 bilinear, crop 224, mean 0.5 .5 0.5 std 1 1 0.25",
    };
    const { transformer } = recognise(fake(vit({ width: 192 }), "a.safetensors", metadata));
    expect(transformer).toMatchObject({ epsilon: 1e-5, heads: 6, faults: [] });
    expect(transformer!.preprocessing).toEqual({
      ...{ resize: 248, crop: 224, filter: "bilinear", mean: [0.5, 0.5, 0.5], std: [1, 1, 0.25] },
    });
    const nonsense = { ln_eps: "-1", heads: "x", epsilon: "Infinity", preprocess: "std 0 0 0 mean 1 resize" };
    const { transformer: plain } = recognise(fake(vit({ width: 192 }), "a.safetensors", nonsense));
    expect(plain).toEqual(recognise(fake(vit({ width: 192 }))).transformer);
  });

  it.skipIf(!hasData(DEIT))("DeiT-tiny, the real file", async () => {
    const found = recognise(await openCheckpoint(await fileSource(dataFile(DEIT))));
    expect(found).toMatchObject({ model: "vit", classes: 1000, unknown: [], ignored: [] });
    expect(found.tensors.size).toBe(152);
    expect(found.transformer).toMatchObject({
      ...{ width: 192, depth: 12, heads: 3, hidden: 768, patch: 16, imageSize: 224, qkvBias: true, epsilon: 1e-6 },
      preprocessing: { resize: 256, crop: 224, filter: "bicubic", ...IMAGENET },
      faults: [],
    });
  });
});

/** What is wrong with a file, and with what is asked of it, as the one line says it. */
function check(shapes: Shapes, wishes: TransformerWishes = {}, metadata: Record<string, string> = {}): Promise<void> {
  const { transformer } = recognise(fake(shapes, "w.pth", metadata));
  return (async () => checkTransformer("w.pth", transformer!, wishes))();
}

const without = (shapes: Shapes, pattern: RegExp): Shapes =>
  Object.fromEntries(Object.entries(shapes).filter(([name]) => !pattern.test(name)));

describe("files that contradict themselves, one line each", () => {
  it.each<[string, Shapes, RegExp]>([
    [
      "blocks missing",
      without(stam(), /^blocks\.(3|7)\.|layers\.2\./),
      /: 2 of 12 blocks are missing: 3, 7; 1 of 6 aggregate\.transformer_enc\.layers are missing: 2$/,
    ],
    [
      "most blocks missing",
      without({ ...vit({ depth: 1 }), "blocks.999.norm1.bias": [768] }, /^$/),
      /998 of 1000 blocks are missing: 1, 2, 3, 4, 5, 6, 7, 8, and 990 more$/,
    ],
    [
      "the last blocks missing, of the STAM that was published",
      without(stam(), /^blocks\.11\.|layers\.5\./),
      /: 1 of 12 blocks are missing: 11; 1 of 6 aggregate\.transformer_enc\.layers are missing: 5$/,
    ],
    ["no temporal layer", without(stam(), /layers\./), /aggregate\.transformer_enc\.layers are missing$/],
    [
      "blocks of another width",
      { ...vit({ width: 384, depth: 3 }), pos_embed: [1, 197, 192], cls_token: [1, 1, 192] },
      /tokens have 192 channels \(pos_embed\) and these another number: patch_embed\.proj\.weight 384, blocks\.0\.attn\.qkv\.weight 384, .*norm\.weight 384$/,
    ],
    [
      "an encoder of another width",
      { ...stam(), "aggregate.pos_embed": [1, 17, 512] },
      /another number: aggregate\.pos_embed 512$/,
    ],
    ["no positions", without(vit(), /^pos_embed/), /pos_embed is missing$/],
    ["no patches", without(stam(), /^patch_embed/), /patch_embed\.proj\.weight is missing$/],
    [
      "positions without a square",
      { ...vit(), pos_embed: [1, 191, 768] },
      /pos_embed is \[1,191,768\], needs \[1, 1 \+ patches/,
    ],
    ["positions of rank 2", { ...vit(), pos_embed: [197, 768] }, /pos_embed is \[197,768\], needs/],
    [
      "no frame",
      { ...stam(), "aggregate.pos_embed": [1, 1, 768] },
      /aggregate\.pos_embed is \[1,1,768\], needs \[1, frames \+ 1, width\]$/,
    ],
    ["no positions in time", without(stam(), /^aggregate\.pos_embed/), /aggregate\.pos_embed is missing$/],
    [
      "oblong patches",
      { ...vit(), "patch_embed.proj.weight": [768, 3, 16, 14] },
      /\[768,3,16,14\], needs \[width, 3, side, side\]/,
    ],
    [
      "a video's patches",
      { ...vit(), "patch_embed.proj.weight": [768, 3, 2, 16, 16] },
      /needs \[width, 3, side, side\]/,
    ],
    ["heads that cannot be told", vit({ width: 200 }), /spatial attention of 3\.125 heads over 200 channels/],
    ["no width", { ...vit(), pos_embed: [1, 197, 0] }, /attention of 0 heads over 0 channels/],
    ["a distilled DeiT", { ...vit(), dist_token: [1, 1, 768] }, /"dist_token" belongs to a distilled DeiT/],
    [
      "layer scale",
      { ...vit(), "module.blocks.3.ls1.gamma": [768] },
      /"module\.blocks\.3\.ls1\.gamma" belongs to layer scale/,
    ],
    ["a layer before the classifier", { ...vit(), "pre_logits.fc.weight": [768, 768] }, /before its classifier/],
    ["normalised queries", { ...vit(), "blocks.0.attn.q_norm.weight": [64] }, /belongs to another kind of attention/],
    [
      "attention over time in the blocks",
      { ...vit(), "blocks.0.temporal_attn.qkv.weight": [9, 3] },
      /another kind of block/,
    ],
  ])("%s", async (_what, shapes, message) => {
    const error = await expectError(check(shapes), "weights-mismatch", message);
    expect(error.message).toMatch(/^w\.pth is no ViT that Kinema can run: /);
  });

  it("everything at once", async () => {
    const shapes = { ...without(stam(), /^blocks\.1\./), pos_embed: [2, 3], "patch_embed.proj.weight": [768, 3] };
    const error = await expectError(
      check(shapes, { frames: 8 }),
      "weights-mismatch",
      /patch_embed\.proj\.weight is.*pos_embed is.*blocks are/,
    );
    expect(error.message).toMatch(/its clips have 16 frames .* and 8 were asked for/);
    expect((error.details.faults as string[]).length).toBe(3);
  });

  it("metadata that say of more blocks than there are", async () => {
    await expectError(
      check(vit({ depth: 3 }), {}, { depth: "5" }),
      "weights-mismatch",
      /: 2 of 5 blocks are missing: 3, 4$/,
    );
    await check(vit({ depth: 3 }), {}, { depth: "3" });
    await expectError(check(vit({ depth: 3 }), {}, { depth: "1e9" }), "weights-mismatch", /: 997 of 1000 blocks/);
  });

  it("metadata that crop to another size", async () => {
    const metadata = { preprocess: "resize 256, crop 192" };
    await expectError(
      check(vit(), {}, metadata),
      "weights-mismatch",
      /metadata crop frames to 192 pixels, its pos_embed is of 224$/,
    );
  });
});

describe("STAM files that are cut or lie", () => {
  const shapes = stam(SMALL);
  const load = async (bytes: Uint8Array): Promise<void> => {
    const checkpoint = await openBytes(bytes, "stam_4.bin");
    const { tensors, transformer } = recognise(checkpoint);
    checkTransformer(checkpoint.name, transformer!);
    const wanted = new Map(Object.entries(shapes));
    const source = openTensors(checkpoint, wanted, tensors, "leave");
    for (const name of source.keys()) await source.get(name);
  };

  it.each<[FileKind, KinemaError["code"], RegExp]>([
    ["safetensors", "weights-mismatch", /do not fit the model: \d+ truncated: /],
    ["torch legacy", "weights-mismatch", /do not fit the model: \d+ truncated: /],
    ["torch zip", "truncated", /without its end record: the download is incomplete/],
  ])("half of a %s file", async (kind, code, message) => {
    const bytes = fileOf(shapes, kind);
    await load(bytes);
    await expectError(load(bytes.subarray(0, bytes.length / 2)), code, message);
  });

  it("a head that is cut", async () => {
    await expectError(
      load(fileOf(shapes, "safetensors").subarray(0, 900)),
      "truncated",
      /the safetensors header needs/,
    );
    await expectError(load(fileOf(shapes, "torch legacy").subarray(0, 900)), "truncated", /inside the pickle/);
  });

  it("a NaN in a zip entry, with the right checksum", async () => {
    const numbers = numbersFor(shapes);
    numbers.get("blocks.1.mlp.fc1.bias")![3] = Number.NaN;
    numbers.get("aggregate.pos_embed")![0] = Number.POSITIVE_INFINITY;
    await expectError(
      load(fileOf(shapes, "torch zip", {}, numbers)),
      "not-finite",
      /NaN or infinity in aggregate\.pos_embed, blocks\.1\.mlp\.fc1\.bias;/,
    );
  });

  it("a bit that flipped in a zip", async () => {
    const bytes = fileOf(shapes, "torch zip");
    bytes[bytes.length >> 1]! ^= 1;
    await expectError(load(bytes), "bad-file", /fails its CRC-32/);
  });

  it("tensors of other shapes, and one that is missing", async () => {
    const half = { ...shapes, "blocks.0.mlp.fc1.weight": [64, 24], "head.bias": [4] };
    await expectError(
      load(fileOf(half, "torch zip")),
      "weights-mismatch",
      /2 wrong shape: blocks\.0\.mlp\.fc1\.weight is \[64,24\], needs \[24,64\], head\.bias is \[4\], needs \[5\]/,
    );
    const { "aggregate.cls_token": _, ...less } = shapes as Record<string, readonly number[]>;
    await expectError(load(fileOf(less, "torch legacy")), "weights-mismatch", /1 missing: aggregate\.cls_token;/);
  });
});

describe("what is asked of a sound file", () => {
  it("fits", async () => {
    await check(stam());
    await check(stam(), { frames: 16, height: 224, width: 224 });
    await check(stam(), { frames: 1 });
    await check(vit(), { frames: 9 });
  });

  it.each<[TransformerWishes, RegExp]>([
    [
      { frames: 8 },
      /^w\.pth: its clips have 16 frames \(aggregate\.pos_embed has 17 rows\) and 8 were asked for: give 16, or 1 for a stream$/,
    ],
    [
      { frames: 32, height: 224, width: 256 },
      /32 were asked for.*; its frames have 224x224 pixels \(pos_embed\) and 224x256 were asked for/,
    ],
    [{ height: 256 }, /and 256x224 were asked for: scale the frames$/],
  ])("does not fit: %o", async (wishes, message) => {
    await expectError(check(stam(), wishes), "bad-input", message);
  });
});
