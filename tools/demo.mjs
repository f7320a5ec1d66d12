// npm run demo [-- --port N]: builds the demo page and serves it to this machine. It loads nothing from elsewhere.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildAll } from "./build.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const PORT = 8123;

/** All that the server gives out: path in the address -> file. */
const FILES = {
  "/": "bench/demo/index.html",
  "/style.css": "bench/demo/style.css",
  "/demo.js": "dist/demo.js",
  "/demo.js.map": "dist/demo.js.map",
  "/kinema-motion.safetensors": "weights/kinema-motion.safetensors",
};
const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript" };
const HEADERS = {
  "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; img-src 'self' data:",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
};

/** Serves the page on 127.0.0.1; port 0 is any free one. `files` replaces entries of the table by absolute paths. */
export async function serveDemo({ port = PORT, files = {} } = {}) {
  const table = Object.fromEntries(Object.entries(FILES).map(([path, file]) => [path, join(root, file)]));
  const server = createServer((request, response) => answer({ ...table, ...files }, request, response));
  await new Promise((done, failed) => server.once("error", failed).listen(port, "127.0.0.1", done));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}

function answer(table, request, response) {
  const path = request.url.split("?")[0];
  const file = Object.hasOwn(table, path) ? table[path] : null;
  if (!file || !existsSync(file)) return response.writeHead(404, HEADERS).end();
  const type = TYPES[extname(file)] ?? "application/octet-stream";
  response.writeHead(200, { ...HEADERS, "Content-Type": type, "Content-Length": statSync(file).size });
  createReadStream(file).pipe(response);
}

function portOf([flag, value, ...rest]) {
  if (flag === undefined) return PORT;
  const port = Number(value);
  if (flag === "--port" && rest.length === 0 && Number.isInteger(port) && port >= 0 && port < 65536) return port;
  console.error("usage: npm run demo [-- --port N], N from 0 (any free one) to 65535");
  return process.exit(2);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = portOf(process.argv.slice(2));
  await buildAll();
  try {
    const { url } = await serveDemo({ port });
    console.log(`Kinema's demo: ${url} (Ctrl+C ends it)`);
  } catch (error) {
    console.error(error.code === "EADDRINUSE" ? `port ${port} is taken: npm run demo -- --port N` : error.message);
    process.exit(2);
  }
}
