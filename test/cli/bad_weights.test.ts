// What the program says to weights and inputs that it cannot use: exit code 2 and one line.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { writeSafetensors } from "../../src/weights/safetensors.ts";
import { assembleZip, checkpointLayout } from "../assemble.ts";
import { syntheticFile, syntheticWeights } from "../synthetic_model.ts";
import { concat, u64 } from "../weights/support/bytes.ts";
import * as torch from "../weights/support/torch_writer.ts";
import { expectRefusal, kinema, ROOT } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const CLASSES = 5;
const whole = syntheticFile("mobilenetv2", CLASSES);
const good = files.write("good.safetensors", whole);
const image = files.input("image.safetensors", "image", [1, 3, 33, 47]);
const out = files.path("out.safetensors");
const run = (weights: string, model = "mobilenetv2") => [
  "run",
  model,
  "--weights",
  weights,
  "--in",
  image,
  "--out",
  out,
];

/** The model's file with one tensor changed. */
function changed(name: string, change: (data: Float32Array) => void): Uint8Array {
  const tensors = syntheticWeights("mobilenetv2", CLASSES);
  change(tensors.get(name)!.data);
  const entries = [...tensors].map(([key, tensor]) => [key, { dtype: "F32" as const, ...tensor }] as const);
  return writeSafetensors(Object.fromEntries(entries), { model: "mobilenetv2" });
}

/** A zip checkpoint whose data differ in one bit from what its CRC says. */
async function flipped(): Promise<Uint8Array> {
  const bytes = await assembleZip("tsm-mobilenetv2-online");
  const { storages } = await checkpointLayout("tsm-mobilenetv2-online", "zip");
  const [offset] = storages.find(([, name]) => name === "blocks.7.depthwise.weight")!;
  bytes[offset + 13]! ^= 1 << 3;
  return bytes;
}

const header = (text: string, data = new Uint8Array(0)) =>
  concat([u64(text.length), new TextEncoder().encode(text), data]);
const tensorOf = (shape: string, begin: number, end: number) =>
  `{"dtype":"F32","shape":${shape},"data_offsets":[${begin},${end}]}`;
const pickled = (object: string) => torch.torchZip(object, [["0", torch.floats(1, 2)]]);
const touched = files.path("touched");
const hostile = `${torch.global("os.system")}${torch.tuple(torch.text(`touch ${touched}`))}R`;
const huge = torch.tensor({ key: "0", count: torch.int(2) }, torch.int(0), [torch.long(2n ** 60n)], [torch.int(1)]);

/** Files that no command takes, told apart by their first bytes or their header. */
const UNREADABLE: readonly [string, string, RegExp][] = [
  ["empty", files.write("empty.pth", ""), /empty\.pth: the file is empty/],
  ["a web page", files.write("page.pth", "<!DOCTYPE html><html>404</html>"), /is an HTML page, not weights/],
  [
    "a Git LFS pointer",
    files.write("pointer.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    /is a Git LFS pointer.*git lfs pull/,
  ],
  ["a text", files.write("notes.pth", "remember the milk, and the bread"), /unknown format/],
  [
    "cut in its header",
    files.write("cut_header.safetensors", whole.subarray(0, 600)),
    /the safetensors header needs \d+ bytes at 8 and the file has 592 left/,
  ],
  ["a pickle that calls os.system", files.write("hostile.pth", pickled(hostile)), /"os\.system" at byte \d+/],
  ["the same, legacy", files.write("hostile_legacy.pth", torch.legacy(hostile, [])), /"os\.system" at byte \d+/],
  ["a dimension of 2^60", files.write("huge.pth", pickled(torch.dict(["a", huge]))), /not a whole number below 2\^53/],
  [
    "a shape of 2^60 in safetensors",
    files.write("huge.safetensors", header(`{"a":${tensorOf("[1152921504606846976]", 0, 4)}}`, new Uint8Array(4))),
    /"?a"?/,
  ],
  [
    "overlapping tensors",
    files.write(
      "overlap.safetensors",
      header(`{"a":${tensorOf("[2]", 0, 8)},"b":${tensorOf("[2]", 4, 12)}}`, new Uint8Array(12)),
    ),
    /tensor "b" overlaps the tensor before it/,
  ],
  [
    "a header over 100 MB",
    files.sparse("header.safetensors", concat([u64(100_000_001), Uint8Array.of(0x7b)]), 120_000_000),
    /the safetensors header says 100000001 bytes, the limit is 100000000/,
  ],
  [
    "a header of 2^64 - 1 bytes",
    files.write("endless.safetensors", concat([u64(2n ** 64n - 1n), Uint8Array.of(0x7b, 0x7d)])),
    /header says 18446744073709551615 bytes/,
  ],
  ["missing", files.path("nowhere.pth"), /nowhere\.pth: no such file/],
  ["a folder", files.folder, /is a directory; give the weight file inside it/],
];

describe("files that are no weights", () => {
  it.each(UNREADABLE)("%s: run and inspect refuse it", async (_name, path, message) => {
    await Promise.all([expectRefusal(run(path), message), expectRefusal(["inspect", path], message)]);
  });

  it("classify, verify and run in a browser refuse them before they start one", async () => {
    const page = files.path("page.pth");
    const clip = `${ROOT}bench/assets/motion.webm`;
    const started = performance.now();
    await expectRefusal(["classify", clip, "--weights", page], /is an HTML page, not weights/);
    await expectRefusal(["verify", "mobilenetv2", "--weights", page, "--reference", good], /is an HTML page/);
    await expectRefusal([...run(page), "--on", "chromium"], /is an HTML page/);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it("executed nothing and wrote nothing", () => {
    expect(existsSync(touched)).toBe(false);
    expect(existsSync(out)).toBe(false);
  });
});

describe("weights that do not do", () => {
  const before = "what was there before";
  it.each<[string, () => Uint8Array | Promise<Uint8Array>, string, RegExp]>([
    ["cut in its data", () => whole.subarray(0, 9_000_000), "mobilenetv2", /truncated: /],
    ["one bit flipped", flipped, "tsm-mobilenetv2-online", /fails its CRC-32/],
    [
      "a NaN",
      () =>
        changed("blocks.4.depthwise.weight", (data) => {
          data[7] = Number.NaN;
        }),
      "mobilenetv2",
      /NaN or infinity in blocks\.4\.depthwise\.weight; the weights are damaged/,
    ],
    [
      "an infinity",
      () =>
        changed("head.bias", (data) => {
          data[0] = Number.NEGATIVE_INFINITY;
        }),
      "mobilenetv2",
      /NaN or infinity in head\.bias;/,
    ],
    [
      "another model's",
      () => whole,
      "tsm-resnet50",
      /do not fit the model: \d+ missing: .*layer1\.0\.conv1.*; \d+ unused: .*; give the model's own file/,
    ],
    [
      "of no model",
      () => writeSafetensors({ a: { dtype: "F32", shape: [1], data: new Float32Array(1) } }),
      "mobilenetv2",
      /missing: .*stem\.weight.*1 unused: a;/,
    ],
  ])("%s", async (name, make, model, message) => {
    const weights = files.write(`${name.replaceAll(/\W/g, "_")}.pth`, await make());
    const video = files.input("video.safetensors", "video", [2, 3, 40, 33]);
    const kept = files.write("kept.safetensors", before);
    const input = model === "mobilenetv2" ? image : video;
    await expectRefusal(["run", model, "--weights", weights, "--in", input, "--out", kept], message);
    expect(readFileSync(kept, "utf8")).toBe(before);
    expect(readdirSync(files.folder).filter((entry) => entry.endsWith(".part"))).toEqual([]);
  });

  it("inspect still describes a file that was cut off", async () => {
    const cut = files.write("cut.safetensors", whole.subarray(0, 9_000_000));
    const { code, stdout, stderr } = await kinema("inspect", cut);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(
      new RegExp(`^truncated: +${whole.length - 9_000_000} bytes missing, \\d+ of \\d+ tensors`, "m"),
    );
    expect(stdout).toMatch(/^model: +mobilenetv2$/m);
  });
});

describe("inputs that do not do", () => {
  const bad = (
    name: string,
    tensor: "image" | "video",
    shape: readonly number[],
    change?: (d: Float32Array) => void,
  ) => [...run(good).slice(0, 4), "--in", files.input(name, tensor, shape, change), "--out", out];
  it.each<[string, string[], RegExp]>([
    [
      "another name",
      bad("a.safetensors", "video", [1, 3, 33, 47]),
      /needs a tensor named "image" \[N, 3, H, W\]; the input file has video/,
    ],
    [
      "four channels",
      bad("b.safetensors", "image", [1, 4, 33, 47]),
      /takes "image" as \[frames, 3, height, width\], got \[1, 4, 33, 47\]/,
    ],
    ["rank 3", bad("c.safetensors", "image", [3, 33, 47]), /got \[3, 33, 47\]/],
    [
      "a NaN",
      bad("d.safetensors", "image", [1, 3, 33, 47], (data) => {
        data[100] = Number.NaN;
      }),
      /"image" holds NaN at element 100; give finite numbers/,
    ],
    ["no file", [...run(good).slice(0, 4), "--in", files.path("none"), "--out", out], /none: no such file/],
    [
      "no weights in it",
      [...run(good).slice(0, 4), "--in", files.write("text", "hello, world"), "--out", out],
      /unknown format/,
    ],
  ])("%s", async (_name, args, message) => {
    await expectRefusal(args, message);
    expect(existsSync(out)).toBe(false);
  });

  it("a place that cannot be written, before the model is run for it", async () => {
    const started = performance.now();
    const nowhere = files.path("no/such/folder/out.safetensors");
    await expectRefusal(
      [...run(good).slice(0, -1), nowhere],
      /no\/such\/folder\/out\.safetensors cannot be written: ENOENT/,
    );
    await expectRefusal([...run(good).slice(0, -1), files.folder], /is a folder; give --out the name of a file/);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
