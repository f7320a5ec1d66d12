// What npm run demo and npm run bench:page share: a server that gives out the files it was told, to this machine only.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};
const ALWAYS = { "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store" };

/**
 * Serves on 127.0.0.1; port 0 is any free one. `files`: path in the address -> file, or a function that makes the JSON;
 * `folders`: prefix of the address -> folder. What is in neither is 404.
 */
export async function serve({ port, files, folders = {}, headers = {} }) {
  const all = { ...ALWAYS, ...headers };
  const server = createServer((request, response) => {
    const path = request.url.split("?")[0];
    const made = Object.hasOwn(files, path) ? files[path] : inFolder(folders, path);
    if (typeof made === "function")
      return response.writeHead(200, { ...all, "Content-Type": TYPES[".json"] }).end(JSON.stringify(made()));
    if (!made || !existsSync(made) || !statSync(made).isFile()) return response.writeHead(404, all).end();
    const type = TYPES[extname(made)] ?? "application/octet-stream";
    response.writeHead(200, { ...all, "Content-Type": type, "Content-Length": statSync(made).size });
    createReadStream(made).pipe(response);
  });
  await new Promise((done, failed) => server.once("error", failed).listen(port, "127.0.0.1", done));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}

function inFolder(folders, path) {
  for (const [prefix, folder] of Object.entries(folders)) {
    const file = normalize(join(folder, path.slice(prefix.length)));
    if (path.startsWith(prefix) && file.startsWith(folder + sep)) return file;
  }
  return null;
}

/** The whole of such a command: [--port N], build, serve, one line with the address. `command` is how it was called. */
export async function runServer(command, title, standardPort, build, start) {
  const port = portOf(process.argv.slice(2), command, standardPort);
  await build();
  try {
    const { url } = await start({ port });
    console.log(`${title}: ${url} (Ctrl+C ends it)`);
  } catch (error) {
    console.error(error.code === "EADDRINUSE" ? `port ${port} is taken: ${command} -- --port N` : error.message);
    process.exit(2);
  }
}

function portOf([flag, value, ...rest], command, standardPort) {
  if (flag === undefined) return standardPort;
  const port = Number(value);
  if (flag === "--port" && rest.length === 0 && Number.isInteger(port) && port >= 0 && port < 65536) return port;
  console.error(`usage: ${command} [-- --port N], N from 0 (any free one) to 65535`);
  return process.exit(2);
}
