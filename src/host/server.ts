import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, extname, join, resolve, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { fail } from "../core/fail.ts";
import { parseRange } from "./range.ts";

/** A static server for one page on this machine only. Every address begins with a secret, so no other page can guess it. */
export interface Server {
  /** "http://127.0.0.1:PORT/SECRET", without a slash at the end. */
  readonly base: string;
  /** Serves one file (ranges included) under an address that tells nothing but its name; returns the address. */
  file(path: string): string;
  /** Serves bytes that are in memory; returns the address. `forget` frees them. */
  bytes(data: Uint8Array | string, type: string): { url: string; forget(): void };
  /** An address to POST a body to, once, and the body that arrives there. */
  inbox(): { url: string; body: Promise<Uint8Array<ArrayBuffer>>; forget(): void };
  close(): Promise<void>;
}

type Entry =
  | { kind: "file"; path: string }
  | { kind: "bytes"; data: Uint8Array; type: string }
  | { kind: "inbox"; deliver(body: Uint8Array<ArrayBuffer>): void };

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".txt": "text/plain; charset=utf-8",
  ".wgsl": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".mp4": "video/mp4",
  ".m4v": "video/mp4",
  ".mov": "video/quicktime",
  ".webm": "video/webm",
  ".mkv": "video/x-matroska",
  ".png": "image/png",
  ".jpg": "image/jpeg",
};

// Cross-origin isolation gives the page fine timers and shared memory; no-store keeps the profile folder small.
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
  "Accept-Ranges": "bytes",
};

/** Starts the server on a free port of 127.0.0.1. `roots` maps a name to a folder: `<base>/<name>/<path in the folder>`. */
export async function startServer(roots: Readonly<Record<string, string>> = {}): Promise<Server> {
  const secret = randomBytes(16).toString("hex");
  const entries = new Map<string, Entry>();
  const http = createServer((request, response) => {
    handle(request, response, secret, entries, roots).catch(() => response.destroy());
  });
  await new Promise<void>((done, failed) => {
    http.once("error", failed).listen(0, "127.0.0.1", done);
  });
  const base = `http://127.0.0.1:${(http.address() as AddressInfo).port}/${secret}`;
  const add = (entry: Entry, name: string) => {
    const key = `_${randomBytes(8).toString("hex")}`;
    entries.set(key, entry);
    return { url: `${base}/${key}/${encodeURIComponent(name)}`, forget: () => void entries.delete(key) };
  };
  return {
    base,
    file: (path) => add({ kind: "file", path: resolve(path) }, basename(path)).url,
    bytes: (data, type) =>
      add({ kind: "bytes", data: typeof data === "string" ? Buffer.from(data) : data, type }, "data"),
    inbox: () => {
      let deliver!: (body: Uint8Array<ArrayBuffer>) => void;
      const body = new Promise<Uint8Array<ArrayBuffer>>((done) => {
        deliver = done;
      });
      return { ...add({ kind: "inbox", deliver }, "inbox"), body };
    },
    close: () =>
      new Promise((done) => {
        http.close(() => done());
        http.closeAllConnections();
      }),
  };
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  secret: string,
  entries: Map<string, Entry>,
  roots: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  const [given, name, ...rest] = pathOf(request);
  if (given !== secret || name === undefined) return refuse(response, 404);
  const entry = entries.get(name);
  if (request.method === "POST") {
    if (entry?.kind !== "inbox") return refuse(response, 404);
    entries.delete(name); // one body each
    entry.deliver(await bodyOf(request));
    return refuse(response, 204);
  }
  if (request.method !== "GET" && request.method !== "HEAD") return refuse(response, 405);
  if (entry?.kind === "bytes") return sendBytes(request, response, entry.data, entry.type);
  if (entry?.kind === "file") return sendFile(request, response, entry.path);
  const root = Object.hasOwn(roots, name) ? roots[name] : undefined;
  const path = root === undefined ? null : await inside(root, rest);
  return path === null ? refuse(response, 404) : sendFile(request, response, path);
}

/** Segments of the path, decoded one by one; empty where it cannot be decoded. */
function pathOf(request: IncomingMessage): string[] {
  try {
    return (request.url ?? "").split(/[?#]/)[0]!.split("/").slice(1).map(decodeURIComponent);
  } catch {
    return [];
  }
}

/** The file below `root` that the segments name, links resolved; null where there is none or it lies elsewhere. */
async function inside(root: string, segments: string[]): Promise<string | null> {
  const unsafe = (segment: string) => segment === ".." || /[/\\\0]/.test(segment);
  if (segments.length === 0 || segments.some(unsafe)) return null;
  try {
    const folder = await realpath(root);
    const path = await realpath(join(folder, ...segments));
    return path.startsWith(folder.endsWith(sep) ? folder : folder + sep) ? path : null;
  } catch {
    return null;
  }
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status).end();
}

async function sendFile(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  const status = await stat(path).catch(() => null);
  if (!status?.isFile()) return refuse(response, 404);
  const type = TYPES[extname(path).toLowerCase()] ?? "application/octet-stream";
  const range = begin(request, response, status.size, type);
  if (range) await pipeline(createReadStream(path, { start: range.start, end: range.end }), response);
}

function sendBytes(request: IncomingMessage, response: ServerResponse, data: Uint8Array, type: string): void {
  const range = begin(request, response, data.byteLength, type);
  if (range) response.end(data.subarray(range.start, range.end + 1));
}

/** Writes status and headers; returns the bytes to send (ends included), or null if the answer is complete already. */
function begin(request: IncomingMessage, response: ServerResponse, size: number, type: string) {
  const range = parseRange(request.headers.range, size);
  if (range === "unsatisfiable") {
    response.writeHead(416, { "Content-Range": `bytes */${size}` }).end();
    return null;
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  const partial = range ? { "Content-Range": `bytes ${start}-${end}/${size}` } : {};
  response.writeHead(range ? 206 : 200, { "Content-Type": type, "Content-Length": end - start + 1, ...partial });
  if (request.method !== "HEAD" && size > 0) return { start, end };
  response.end();
  return null;
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array<ArrayBuffer>> {
  const length = Number(request.headers["content-length"]);
  if (!Number.isSafeInteger(length)) fail("bad-input", "a result was posted without its length");
  const body = new Uint8Array(length);
  let at = 0;
  for await (const chunk of request) {
    body.set(chunk, at);
    at += chunk.length;
  }
  if (at !== length) fail("bad-input", `a result of ${length} bytes ended after ${at}`);
  return body;
}
