// npm run bench:page [-- --port N]: builds the bench's page and serves it to this machine. It loads nothing from elsewhere.
import { execFileSync } from "node:child_process";
import { createReadStream, existsSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { generateKernels } from "./gen.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const PORT = 8124;
const SCRIPT = join(root, "node_modules", ".cache", "kinema", "bench_page.js");

/** All that the server gives out: path in the address -> file, and folders of the rival, if it is installed. */
const FILES = {
  "/": join(root, "bench/page/index.html"),
  "/style.css": join(root, "bench/page/style.css"),
  "/page.js": SCRIPT,
};
const FOLDERS = {
  "/rival/ort/": join(root, "bench/rival/node_modules/onnxruntime-web/dist"),
  "/rival/models/": join(root, "bench/rival/models"),
};
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};
// Isolation gives the page a clock of 5 microseconds instead of 100. The rival compiles WebAssembly.
const HEADERS = {
  "Content-Security-Policy":
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; img-src 'self' data:",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
};

/** Bundles the page's script, with the commit that it is built from. */
export async function buildPage() {
  await generateKernels();
  const facts = { BENCH_COMMIT: JSON.stringify(commit()), BENCH_RIVALS: JSON.stringify(rivals()) };
  const entryPoints = [join(root, "bench/page/page.ts")];
  const options = { bundle: true, format: "esm", target: "es2022", platform: "browser", logLevel: "error" };
  await build({ ...options, entryPoints, outfile: SCRIPT, define: facts });
}

function commit() {
  const git = (...args) =>
    execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  try {
    return git("rev-parse", "--short", "HEAD").trim() + (git("status", "--porcelain", "src", "kernels") ? "+" : "");
  } catch {
    return "unknown";
  }
}

/** Models that onnxruntime-web could run here: none, where it is not installed. */
function rivals() {
  if (!existsSync(FOLDERS["/rival/ort/"]) || !existsSync(FOLDERS["/rival/models/"])) return [];
  const files = readdirSync(FOLDERS["/rival/models/"]);
  return files.filter((file) => file.endsWith(".onnx")).map((file) => file.slice(0, -".onnx".length));
}

/** The file of an address, null for one that is not given out. */
function fileAt(path) {
  if (Object.hasOwn(FILES, path)) return FILES[path];
  for (const [prefix, folder] of Object.entries(FOLDERS)) {
    const file = normalize(join(folder, path.slice(prefix.length)));
    if (path.startsWith(prefix) && file.startsWith(folder + sep)) return file;
  }
  return null;
}

/** Serves the page on 127.0.0.1; port 0 is any free one. */
export async function servePage({ port = PORT } = {}) {
  const server = createServer((request, response) => {
    const file = fileAt(request.url.split("?")[0]);
    if (!file || !existsSync(file) || !statSync(file).isFile()) return response.writeHead(404, HEADERS).end();
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { ...HEADERS, "Content-Type": type, "Content-Length": statSync(file).size });
    createReadStream(file).pipe(response);
  });
  await new Promise((done, failed) => server.once("error", failed).listen(port, "127.0.0.1", done));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}

function portOf([flag, value, ...rest]) {
  if (flag === undefined) return PORT;
  const port = Number(value);
  if (flag === "--port" && rest.length === 0 && Number.isInteger(port) && port >= 0 && port < 65536) return port;
  console.error("usage: npm run bench:page [-- --port N], N from 0 (any free one) to 65535");
  return process.exit(2);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = portOf(process.argv.slice(2));
  await buildPage();
  try {
    const { url } = await servePage({ port });
    console.log(`Kinema's bench: ${url} (Ctrl+C ends it)`);
  } catch (error) {
    console.error(
      error.code === "EADDRINUSE" ? `port ${port} is taken: npm run bench:page -- --port N` : error.message,
    );
    process.exit(2);
  }
}
