import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { inspect } from "../../src/cli/inspect.ts";
import { fileSource } from "../../src/host/file_source.ts";
import { writeSafetensors } from "../../src/weights/safetensors.ts";
import { latin1 } from "./support/bytes.ts";
import { expectError } from "./support/expect_error.ts";
import { fileOf, SMALL, stam, vit } from "./support/transformer_names.ts";

const folder = mkdtempSync(join(tmpdir(), "kinema-inspect-"));
afterAll(() => rmSync(folder, { recursive: true }));
function write(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}
const small = writeSafetensors(
  {
    "layer.weight": { dtype: "F32", shape: [2, 3], data: new Float32Array(6) },
    "layer.count": { dtype: "I64", shape: [], data: new BigInt64Array(1) },
    "odd\u001b[31m": { dtype: "U8", shape: [5], data: new Uint8Array(5) },
  },
  { note: "two\nlines" },
);

describe("inspect", () => {
  it("prints a table", async () => {
    const text = await inspect(write("small.safetensors", small));
    expect(text).toMatch(/^container: +safetensors$/m);
    expect(text).toMatch(/^tensors: +3, 37 bytes$/m);
    expect(text).toMatch(/^ {2}F32: +1, 24 bytes$/m);
    expect(text).toMatch(/^model: +not recognised$/m);
    expect(text).toMatch(/^layer\.weight +F32 +\[2,3\] +24$/m);
    expect(text).toMatch(/^layer\.count +I64 +\[\] +8$/m);
    expect(text).toContain("odd?[31m");
    expect(text).toContain("two?lines");
    expect(text).not.toContain("truncated");
    expect(text).not.toContain("\u001b");
  });

  it("prints one JSON object", async () => {
    const path = write("cut.safetensors", small.subarray(0, small.length - 3));
    const report = JSON.parse(await inspect(path, { json: true }));
    expect(report).toMatchObject({
      container: "safetensors",
      size: small.length - 3,
      truncated: true,
      missingBytes: 3,
      tensorCount: 3,
      presentCount: 2,
      tensorBytes: 37,
      dtypes: { F32: { tensors: 1, bytes: 24 }, I64: { tensors: 1, bytes: 8 }, U8: { tensors: 1, bytes: 5 } },
      model: null,
      metadata: { note: "two\nlines" },
    });
    expect(report.tensors[1]).toEqual({
      name: "layer.weight",
      dtype: "F32",
      shape: [2, 3],
      bytes: 24,
      present: true,
      offset: expect.any(Number),
    });
    expect(await inspect(path)).toMatch(/^truncated: +3 bytes missing, 2 of 3 tensors present$/m);
    expect(await inspect(path)).toMatch(/^odd.* 5 +missing$/m);
  });

  it("describes a torch file", async () => {
    const path = fileURLToPath(new URL("../golden/torch/wrapper.zip.pt", import.meta.url));
    const text = await inspect(path);
    expect(text).toMatch(/^container: +PyTorch, zip$/m);
    expect(text).toMatch(/^ {2}arch: +resnet50$/m);
  });
});

describe("inspect of transformers", () => {
  const lines = (text: string) => new Map(text.split("\n").map((line) => [line.split(":")[0]!, line]));

  it("prints STAM's network", async () => {
    const shapes = { ...stam({ ...SMALL, qkvBias: false }), "extra.bias": [3] };
    const path = write("stam_4.pth", fileOf(shapes, "torch zip"));
    const found = lines(await inspect(path));
    expect(found.get("model")).toMatch(/^model: +stam$/);
    expect(found.get("blocks")).toMatch(/: +2, width 64, 1 heads?, hidden 24, patches of 4 pixels$/);
    expect(found.get("temporal")).toMatch(/: +2 layers, 8 heads, hidden 20$/);
    expect(found.get("clip")).toMatch(/: +4 frames$/);
    expect(found.get("input")).toMatch(/: +resize 9 bilinear, crop 8, mean 0 0 0, std 1 1 1$/);
    expect(found.get("layer norm")).toMatch(/: +epsilon 1e-5$/);
    expect(found.get("qkv bias")).toMatch(/: +not stored, zeros$/);
    expect(found.get("classes")).toMatch(/: +5$/);
    expect(found.get("unknown")).toMatch(/: +1: extra\.bias$/);
    for (const absent of ["shift", "padding", "batch norm", "fault"]) expect(found.has(absent)).toBe(false);
    const report = JSON.parse(await inspect(path, { json: true }));
    expect(report).toMatchObject({ model: "stam", segments: 4, unknown: ["extra.bias"] });
    expect(report.transformer).toMatchObject({ frames: 4, imageSize: 8, qkvBias: false, faults: [] });
  });

  it("prints what is wrong", async () => {
    const { "blocks.0.norm1.weight": _, ...rest } = vit({ ...SMALL, depth: 1 }) as Record<string, readonly number[]>;
    const shapes = { ...rest, dist_token: [1, 1, 64], "blocks.3.norm1.bias": [64] };
    const text = await inspect(write("vit.safetensors", fileOf(shapes, "safetensors")));
    expect(text).toMatch(/^model: +vit$/m);
    expect(text).toMatch(/^fault: +"dist_token" belongs to a distilled DeiT/m);
    expect(text).toMatch(/^fault: +2 of 4 blocks are missing: 1, 2$/m);
  });
});

describe("files that are no weights: one line that says what they are", () => {
  it.each([
    ["empty", "", /is empty \(0 bytes\)/],
    ["page.pth", "\n <!DOCTYPE html><html><body>404</body></html>", /is an HTML page/],
    [
      "pointer.safetensors",
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9225904\n",
      /Git LFS pointer.*git lfs pull/,
    ],
    ["archive.pth.tar", `${"a.pth".padEnd(257, "\0")}ustar`, /is a tar archive; unpack/],
    ["weights.bin", "whatever this is", /unknown format \(starts with 77 68 61 74 65 76 65 72\)/],
    ["one.byte", "x", /unknown format/],
    ["model.h5", "\x89HDF\r\n\x1a\n", /HDF5/],
    ["model.gguf", "GGUF\x03\0\0\0", /GGUF/],
    ["model.tflite", "\x1c\0\0\0TFL3", /TensorFlow Lite/],
    ["model.xz", "\xfd7zXZ\0\0", /xz archive/],
  ])("%s", async (name, content, message) => {
    const error = await expectError(inspect(write(name, latin1(content))), "bad-file", message);
    expect(error.message).toContain(name);
  });

  it("gzip", async () => {
    await expectError(inspect(write("w.pth.gz", gzipSync("weights"))), "bad-file", /is a gzip archive/);
  });

  it("a damaged .safetensors is told as one", async () => {
    await expectError(
      inspect(write("flip.safetensors", latin1("\xff\xff\xff\xff\xff\0\0\0["))),
      "bad-file",
      /header says 1099511627775 bytes/,
    );
    await expectError(inspect(write("short.safetensors", latin1("ab"))), "truncated", /header length needs 8 bytes/);
  });
});

describe("fileSource", () => {
  it("explains missing files, directories and devices", async () => {
    await expectError(
      fileSource(join(folder, "absent.pth")),
      "bad-input",
      /absent\.pth: no such file; check the path$/,
    );
    await expectError(fileSource(folder), "bad-input", /is a directory; give the weight file inside it$/);
    await expectError(fileSource("/dev/null"), "bad-input", /not a regular file/);
    await expectError(fileSource(join(write("plain", "x"), "below")), "bad-input", /no such file/);
  });

  it("reads ranges, and less at the end", async () => {
    const source = await fileSource(write("range", "0123456789"));
    expect(source.size).toBe(10);
    expect(await source.read(3, 4)).toEqual(latin1("3456"));
    expect(await source.read(8, 4)).toEqual(latin1("89"));
    expect((await source.read(12, 4)).length).toBe(0);
    const gone = await fileSource(write("gone", "x"));
    rmSync(join(folder, "gone"));
    await expectError(gone.read(0, 1), "bad-input", /gone: no such file/);
  });
});
