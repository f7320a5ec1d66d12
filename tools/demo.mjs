// npm run demo [-- --port N]: builds the demo page and serves it to this machine. It loads nothing from elsewhere.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildAll } from "./build.mjs";
import { runServer, serve } from "./serve.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const PORT = 8123;

/** All that the server gives out: path in the address -> file. */
const FILES = {
  "/": "bench/demo/index.html",
  "/look.css": "bench/look.css",
  "/style.css": "bench/demo/style.css",
  "/demo.js": "dist/demo.js",
  "/demo.js.map": "dist/demo.js.map",
  "/kinema-motion.safetensors": "weights/kinema-motion.safetensors",
};
const HEADERS = {
  "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; img-src 'self' data:",
};

/** Serves the page on 127.0.0.1; port 0 is any free one. `files` replaces entries of the table by absolute paths. */
export function serveDemo({ port = PORT, files = {} } = {}) {
  const table = Object.fromEntries(Object.entries(FILES).map(([path, file]) => [path, join(root, file)]));
  return serve({ port, files: { ...table, ...files }, headers: HEADERS });
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await runServer("npm run demo", "Kinema's demo", PORT, buildAll, serveDemo);
