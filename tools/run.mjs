// node tools/run.mjs FILE.ts [arguments]: bundles a TypeScript program with esbuild and runs it on any Node.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { generateKernels } from "./gen.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const [file, ...rest] = process.argv.slice(2);
if (!file) {
  console.error("usage: node tools/run.mjs FILE.ts [arguments]");
  process.exit(2);
}
await generateKernels();
const outfile = join(root, "node_modules", ".cache", "kinema", `${basename(file, ".ts")}-${process.pid}.mjs`);
mkdirSync(dirname(outfile), { recursive: true });
await build({
  entryPoints: [resolve(file)],
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  outfile,
  external: ["esbuild", "webgpu", "puppeteer-core", "@sparticuz/chromium"],
  logLevel: "error",
});
process.exit(spawnSync(process.execPath, ["--enable-source-maps", outfile, ...rest], { stdio: "inherit" }).status ?? 1);
