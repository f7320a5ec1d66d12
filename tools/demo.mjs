// npm run demo [-- --port N]: builds the demo's two pages and serves them to this machine. They load nothing from elsewhere.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildAll } from "./build.mjs";
import { runServer, serve } from "./serve.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const PORT = 8123;

const under = (folder, ...names) => Object.fromEntries(names.map((name) => [`/${name}`, `${folder}/${name}`]));
const script = (name) => under("dist", `${name}.js`, `${name}.js.map`);
const weights = (name) => under("weights", `kinema-${name}.safetensors`);

/** All that the server gives out: path in the address -> file. */
const FILES = {
  "/": "bench/demo/index.html",
  "/recorder.html": "bench/recorder/index.html",
  "/look.css": "bench/look.css",
  "/page.css": "bench/demo/page.css",
  "/style.css": "bench/demo/style.css",
  "/recorder.css": "bench/recorder/style.css",
  ...script("demo"),
  ...script("recorder"),
  ...script("recorder_worker"),
  ...weights("motion"),
  ...weights("compressor-30"),
  ...weights("compressor-192"),
  ...weights("compressor-384"),
  ...under("bench/assets", "motion.webm"),
};
const HEADERS = {
  "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; img-src 'self' data:",
};

/** Serves the pages on 127.0.0.1; port 0 is any free one. `files` replaces entries of the table by absolute paths. */
export function serveDemo({ port = PORT, files = {} } = {}) {
  const table = Object.fromEntries(Object.entries(FILES).map(([path, file]) => [path, join(root, file)]));
  return serve({ port, files: { ...table, ...files }, headers: HEADERS });
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await runServer("npm run demo", "Kinema's demo", PORT, buildAll, serveDemo);
