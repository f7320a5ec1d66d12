// node tools/build.mjs [--size]: kernels/*.wgsl -> src/kernels.gen.ts, then the bundles of dist/. --size prints their sizes.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { generateKernels } from "./gen.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");

const COMMON = { bundle: true, format: "esm", target: "es2022", logLevel: "error", absWorkingDir: root };
const BROWSER = { ...COMMON, platform: "browser", minify: true, sourcemap: true, legalComments: "none" };

/**
 * The bundles by name. The library is split: what it imports on demand (the torch readers) is a file of its own beside it,
 * index-torch.js, and what both need a third, index-chunk.js. Store, compressor and augmenter, which an app uses together, share their chunks,
 * codes-*.js. Only the command line may use Node; the library and the page must build for a browser.
 */
const BUNDLES = {
  index: { ...BROWSER, entryPoints: ["src/index.ts"], splitting: true, chunkNames: "index-[name]" },
  labels: { ...BROWSER, entryPoints: ["src/labels/index.ts"] },
  "[name]": {
    ...BROWSER,
    entryPoints: ["src/entries/store.ts", "src/entries/compressor.ts", "src/entries/augment.ts"],
    splitting: true,
    chunkNames: "codes-[hash]",
  },
  page: { ...BROWSER, entryPoints: ["src/host/page/main.ts"] },
  demo: { ...BROWSER, entryPoints: ["bench/demo/demo.ts"] },
  recorder: { ...BROWSER, entryPoints: ["bench/recorder/recorder.ts"] },
  recorder_worker: { ...BROWSER, entryPoints: ["bench/recorder/store_worker.ts"], format: "iife" },
  cli: {
    ...COMMON,
    entryPoints: ["src/cli/main.ts"],
    platform: "node",
    target: "node20",
    sourcemap: true,
    external: ["webgpu", "puppeteer-core", "@sparticuz/chromium"],
  },
};

/** Builds everything; returns the paths of the scripts written. */
export async function buildAll() {
  await generateKernels();
  const paths = [];
  for (const [name, options] of Object.entries(BUNDLES)) {
    const { outputFiles } = await build({ ...options, outdir: dist, entryNames: name, write: false });
    for (const file of outputFiles) replace(file);
    paths.push(...outputFiles.map(({ path }) => path).filter((path) => path.endsWith(".js")));
  }
  const kept = new Set(paths.flatMap((path) => [basename(path), `${basename(path)}.map`]));
  const left = readdirSync(dist).filter((name) => /^codes-.*\.js(\.map)?$/.test(name) && !kept.has(name));
  for (const name of left) rmSync(join(dist, name), { force: true }); // chunks of an earlier build
  return paths;
}

/** Writes a file whole, and leaves it alone when nothing changed: another process may be running it. */
function replace({ path, contents }) {
  if (existsSync(path) && readFileSync(path).equals(contents)) return;
  const part = `${path}.${process.pid}.part`;
  mkdirSync(dist, { recursive: true });
  writeFileSync(part, contents);
  renameSync(part, path);
}

/** Prints minified and gzip -9 bytes of each bundle. */
function printSizes(paths) {
  for (const path of paths) {
    const code = readFileSync(path);
    const gzip = gzipSync(code, { level: 9 }).length;
    console.log(`${path.slice(root.length + 1).padEnd(20)} ${code.length} bytes, ${gzip} gzip -9`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const unknown = process.argv.slice(2).find((word) => word !== "--size");
  if (unknown !== undefined) {
    console.error(`usage: node tools/build.mjs [--size] (${unknown} is unknown)`);
    process.exit(2);
  }
  const paths = await buildAll();
  if (process.argv.includes("--size")) printSizes(paths);
}
