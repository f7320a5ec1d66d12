// npm run bench:page [-- --port N]: builds the bench's page and serves it to this machine. It loads nothing from elsewhere.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { commitOf } from "./commit.mjs";
import { generateKernels } from "./gen.mjs";
import { bundleRivals, rivalFolders, rivalsHere } from "./rivals.mjs";
import { runServer, serve } from "./serve.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const PORT = 8124;
const SCRIPT = join(root, "node_modules", ".cache", "kinema", "bench_page.js");

/** All that the server gives out, beside the rivals' folders: path in the address -> file. */
const filesWith = (results) => ({
  "/": join(root, "bench/page/index.html"),
  "/look.css": join(root, "bench/look.css"),
  "/style.css": join(root, "bench/page/style.css"),
  "/page.js": SCRIPT,
  "/results.json": () => recorded(results),
});
// Isolation gives the page a clock of 5 microseconds instead of 100. Rivals compile WebAssembly.
const HEADERS = {
  "Content-Security-Policy":
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; img-src 'self' data:",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** The reports in a folder, as the page reads them. */
function recorded(folder) {
  const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
  return files.sort().map((file) => ({ file, text: readFileSync(join(folder, file), "utf8") }));
}

/** Bundles the page's script, with the commit that it is built from, and the rivals that are installed. */
export async function buildPage() {
  await generateKernels();
  await bundleRivals(root);
  const facts = { BENCH_COMMIT: JSON.stringify(commitOf(root)), BENCH_RIVALS: JSON.stringify(rivals()) };
  const entryPoints = [join(root, "bench/page/page.ts")];
  const options = { bundle: true, format: "esm", target: "es2022", platform: "browser", logLevel: "error" };
  await build({ ...options, entryPoints, outfile: SCRIPT, define: facts });
}

/** The rivals that are installed, and the cases that onnxruntime-web has a file of. */
function rivals() {
  const { models } = rivalFolders(root);
  const files = existsSync(models) ? readdirSync(models).filter((file) => file.endsWith(".onnx")) : [];
  return { installed: rivalsHere(root), models: files.map((file) => file.slice(0, -".onnx".length)) };
}

/** Serves the page on 127.0.0.1; port 0 is any free one. `results` holds the reports on record. */
export function servePage({ port = PORT, results = join(root, "bench/results") } = {}) {
  const folders = Object.entries(rivalFolders(root)).map(([name, folder]) => [`/rival/${name}/`, folder]);
  return serve({ port, files: filesWith(results), folders: Object.fromEntries(folders), headers: HEADERS });
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await runServer("npm run bench:page", "Kinema's bench", PORT, buildPage, servePage);
