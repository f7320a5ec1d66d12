// node tools/gen.mjs: runs gen.ts on any Node, bundled in memory.

import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Regenerates src/kernels.gen.ts; returns the number of kernels. */
export async function generateKernels() {
  const outfile = join(root, "node_modules", ".cache", "kinema", `gen-${process.pid}.mjs`);
  mkdirSync(dirname(outfile), { recursive: true });
  await build({
    entryPoints: [join(root, "tools", "gen.ts")],
    bundle: true,
    platform: "node",
    format: "esm",
    outfile,
    logLevel: "error",
  });
  const { generate } = await import(pathToFileURL(outfile).href);
  rmSync(outfile);
  return generate(join(root, "kernels"), join(root, "src", "kernels.gen.ts"));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(`${await generateKernels()} kernels`);
}
