// What a page pays for the library, and what it must not contain.

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, it } from "vitest";

interface Script {
  readonly code: string;
  readonly gzip: number;
  /** Source files in it. */
  readonly inputs: readonly string[];
  /** Scripts that come with it: imported at once, and imported on demand. */
  readonly needs: readonly string[];
  readonly later: readonly string[];
}

/** The scripts that esbuild makes of an entry, by file name, split where the code imports on demand. */
async function bundle(entry: string): Promise<Map<string, Script>> {
  const { outputFiles, metafile } = await build({
    entryPoints: [fileURLToPath(new URL(`../${entry}`, import.meta.url))],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    splitting: true,
    outdir: "out",
    chunkNames: "[name]",
    write: false,
    metafile: true,
    logLevel: "error",
  });
  return new Map(
    Object.entries(metafile.outputs).map(([path, { inputs, imports }]) => {
      const code = outputFiles.find((file) => basename(file.path) === basename(path))!.text;
      const of = (kind: string) => imports.filter((i) => i.kind === kind).map((i) => basename(i.path));
      const sizes = { code, gzip: gzipSync(code, { level: 9 }).length, inputs: Object.keys(inputs) };
      return [basename(path), { ...sizes, needs: of("import-statement"), later: of("dynamic-import") }];
    }),
  );
}

/** A script and all that it imports at once. */
function withNeeds(scripts: ReadonlyMap<string, Script>, name: string, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  for (const other of scripts.get(name)!.needs) withNeeds(scripts, other, found);
  return found;
}

it("a page downloads at most 64 kB gzip for every model, latents and the compressor too, and 10 kB more when it opens a torch file", async () => {
  const scripts = await bundle("src/index.ts");
  const atOnce = [...withNeeds(scripts, "index.js")].map((name) => scripts.get(name)!);
  const total = (some: Iterable<Script>) => [...some].reduce((sum, { gzip }) => sum + gzip, 0);
  expect(total(atOnce)).toBeLessThanOrEqual(64_000);
  expect(total(scripts.values())).toBeLessThanOrEqual(74_000);
  // Only the torch readers are left for later, and all of them.
  expect(atOnce.flatMap(({ later }) => later)).toEqual(["torch.js"]);
  const readers = /\/(pickle|torch|zip|crc32)\w*\.ts$/;
  expect(atOnce.flatMap(({ inputs }) => inputs).filter((file) => readers.test(file))).toEqual([]);
  expect(scripts.get("torch.js")!.inputs.filter((file) => readers.test(file)).length).toBeGreaterThan(5);
  for (const { code, inputs } of scripts.values()) {
    expect(inputs.filter((file) => /wgsl_reflect|mediabunny|puppeteer|chart\.js|\/host\/|\/cli\//.test(file))).toEqual(
      [],
    );
    // A demuxer or label lists are what a page imports by itself.
    expect(code).not.toContain("abseiling");
  }
});

it("stores cost a page at most 14 kB gzip, and nothing of the GPU", async () => {
  const scripts = await bundle("src/entries/store.ts");
  expect([...scripts.keys()]).toEqual(["store.js"]);
  const { gzip, inputs } = scripts.get("store.js")!;
  expect(gzip).toBeLessThanOrEqual(14_000);
  expect(inputs.filter((file) => !/src\/(entries|store|core|weights)\//.test(file))).toEqual([]);
});

it("a compressor, and what reads its codes, cost a page at most 48 kB gzip", async () => {
  const scripts = await bundle("src/entries/compressor.ts");
  const atOnce = [...withNeeds(scripts, "compressor.js")].map((name) => scripts.get(name)!);
  expect(atOnce.reduce((sum, { gzip }) => sum + gzip, 0)).toBeLessThanOrEqual(48_000);
  expect(atOnce.flatMap(({ later }) => later)).toEqual(["torch.js"]);
  expect(atOnce.flatMap(({ inputs }) => inputs).filter((file) => /mediabunny|\/(host|cli)\//.test(file))).toEqual([]);
  // Of the kernels only its own.
  const kernels = atOnce.flatMap(({ code }) => [...code.matchAll(/name:"(\w+)",code:/g)].map(([, name]) => name));
  expect(kernels).toContain("vq");
  expect(kernels).not.toContain("attention");
});

it("what changes pictures in their codes costs a page at most 44 kB gzip", async () => {
  const scripts = await bundle("src/entries/augment.ts");
  const atOnce = [...withNeeds(scripts, "augment.js")].map((name) => scripts.get(name)!);
  expect(atOnce.reduce((sum, { gzip }) => sum + gzip, 0)).toBeLessThanOrEqual(40_000);
  expect(atOnce.flatMap(({ inputs }) => inputs).filter((file) => /mediabunny|\/(host|cli|video)\//.test(file))).toEqual(
    [],
  );
});

it("the built library opens a torch file: what it fetches for that lies beside it", async () => {
  // test/setup built it.
  const { openCheckpoint, fromBytes, KinemaError } = await import(new URL("../dist/index.js", import.meta.url).href);
  const file = readFileSync(new URL("golden/torch/wrapper.zip.pt", import.meta.url));
  const checkpoint = await openCheckpoint(fromBytes(new Uint8Array(file), "wrapper.zip.pt"));
  expect(checkpoint.container).toBe("torch-zip");
  // Kinema's errors are one class, whichever script threw them.
  const cut = openCheckpoint(fromBytes(new Uint8Array(file.subarray(0, file.length / 2)), "cut.pt"));
  await expect(cut).rejects.toBeInstanceOf(KinemaError);
});

it("the labels are a module of their own that needs nothing of the GPU", async () => {
  const scripts = await bundle("src/labels/index.ts");
  expect([...scripts.keys()]).toEqual(["index.js"]);
  const { code, inputs } = scripts.get("index.js")!;
  expect(code).toContain("abseiling");
  expect(inputs.every((file) => /src\/(labels|core)\//.test(file))).toBe(true);
});
