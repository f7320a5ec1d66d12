// What a page pays for the library, and what it must not contain.

import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, it } from "vitest";

async function bundle(entry: string): Promise<{ code: string; inputs: string[] }> {
  const { outputFiles, metafile } = await build({
    entryPoints: [fileURLToPath(new URL(`../${entry}`, import.meta.url))],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    metafile: true,
    logLevel: "error",
  });
  return { code: outputFiles[0]!.text, inputs: Object.keys(metafile.inputs) };
}

it("the library with every TSM is at most 40 kB gzip", async () => {
  const { code, inputs } = await bundle("src/index.ts");
  expect(gzipSync(code, { level: 9 }).length).toBeLessThanOrEqual(40_000);
  expect(inputs.filter((file) => /wgsl_reflect|mediabunny|puppeteer|\/host\/|\/cli\//.test(file))).toEqual([]);
  // A demuxer or label lists are what a page imports by itself.
  expect(code).not.toContain("abseiling");
});

it("the labels are a module of their own that needs nothing of the GPU", async () => {
  const { code, inputs } = await bundle("src/labels/index.ts");
  expect(code).toContain("abseiling");
  expect(inputs.every((file) => /src\/(labels|core)\//.test(file))).toBe(true);
});
