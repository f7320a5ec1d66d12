import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fromBlob, fromBytes, readExactly } from "../../src/weights/byte_source.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { writeSafetensors } from "../../src/weights/safetensors.ts";
import { fromUrl } from "../../src/weights/url_source.ts";
import { latin1 } from "./support/bytes.ts";
import { expectError } from "./support/expect_error.ts";

const body = Uint8Array.from({ length: 3_000_001 }, (_, i) => (i * 7 + (i >> 8)) & 255);
const weights = writeSafetensors({ w: { dtype: "F32", shape: [3], data: new Float32Array([1, 2, 3]) } });
/** Byte equality; toEqual takes seconds for megabytes. */
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
let etag = '"one"';
let requests: string[] = [];

/** Answers a range as a correct server does; `hide` leaves out what CORS would hide. */
function ranged(request: IncomingMessage, response: ServerResponse, bytes: Uint8Array, hide = false): void {
  const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  if (!match) {
    response.writeHead(200, { "content-length": bytes.length }).end(bytes);
    return;
  }
  const start = Number(match[1]);
  const end = Math.min(Number(match[2]), bytes.length - 1);
  if (start >= bytes.length) {
    response.writeHead(416).end();
    return;
  }
  const headers: Record<string, string | number> = { "content-length": end - start + 1, etag };
  if (!hide) headers["content-range"] = `bytes ${start}-${end}/${bytes.length}`;
  response.writeHead(206, headers).end(bytes.subarray(start, end + 1));
}

const routes: Record<string, (request: IncomingMessage, response: ServerResponse) => void> = {
  "/good": (request, response) => ranged(request, response, body),
  "/weights": (request, response) => ranged(request, response, weights),
  "/hidden": (request, response) => ranged(request, response, body, true),
  "/whole": (_, response) => void response.writeHead(200, { "content-length": body.length }).end(body),
  "/empty": (request, response) => ranged(request, response, new Uint8Array(0)),
  "/page": (_, response) => void response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end("<html>"),
  "/missing": (_, response) => void response.writeHead(404).end("no"),
  "/cut": (_, response) => {
    response.writeHead(200, { "content-length": body.length });
    response.write(body.subarray(0, 1000), () => response.destroy());
  },
  "/stall": (_, response) =>
    void response.writeHead(200, { "content-length": body.length }).write(body.subarray(0, 10)),
  "/short": (_, response) =>
    void response
      .writeHead(206, { "content-range": `bytes 0-99/${body.length}`, "content-length": 100 })
      .end(body.subarray(0, 100)),
};
const server = createServer((request, response) => {
  requests.push(request.headers.range ?? "all");
  routes[request.url!]!(request, response);
});
let base = "";
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

describe("fromUrl", () => {
  it("reads ranges, and keeps a block for small neighbours", async () => {
    requests = [];
    const source = await fromUrl(`${base}/good`);
    expect(source.size).toBe(body.length);
    expect(same(await source.read(5, 10), body.slice(5, 15))).toBe(true);
    expect(requests).toEqual(["bytes=0-1048575"]);
    expect(same(await source.read(2_000_000, 3), body.slice(2_000_000, 2_000_003))).toBe(true);
    expect(same(await source.read(2_000_100, 3), body.slice(2_000_100, 2_000_103))).toBe(true);
    expect(requests.slice(1)).toEqual(["bytes=2000000-3000000"]);
    expect(same(await source.read(100, 2_500_000), body.slice(100, 2_500_100))).toBe(true);
    expect(same(await source.read(2_999_999, 10), body.slice(2_999_999))).toBe(true);
    expect((await source.read(4_000_000, 10)).length).toBe(0);
  });

  it("opens a checkpoint", async () => {
    const checkpoint = await openCheckpoint(await fromUrl(new URL(`${base}/weights`)));
    expect([...(await checkpoint.readF32("w"))]).toEqual([1, 2, 3]);
  });

  it.each(["/whole", "/hidden"])("takes the whole body where ranges do not work: %s", async (route) => {
    const seen: number[] = [];
    const source = await fromUrl(base + route, {
      onProgress: ({ loaded, total }) => void (total === body.length && seen.push(loaded)),
    });
    expect(source.size).toBe(body.length);
    expect(same(await source.read(2_999_990, 20), body.slice(2_999_990))).toBe(true);
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.at(-1)).toBe(body.length);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it("treats an empty file as empty", async () => {
    await expectError(openCheckpoint(await fromUrl(`${base}/empty`)), "bad-file", /empty/);
  });

  it("refuses pages, errors, broken and short answers", async () => {
    await expectError(fromUrl(`${base}/page`), "bad-file", /HTML page/);
    const error = await expectError(fromUrl(`${base}/missing`), "bad-input", /HTTP 404/);
    expect(error.details.status).toBe(404);
    await expectError(fromUrl(`${base}/cut`), "truncated", /broke after \d+ bytes/);
    await expectError(fromUrl(`${base}/short`), "truncated", /asked for 1048576 bytes and got 100/);
    await expectError(fromUrl("http://127.0.0.1:1/x"), "bad-input", /cannot be reached/);
  });

  it("notices that the file changed", async () => {
    const source = await fromUrl(`${base}/good`);
    etag = '"two"';
    await expectError(source.read(2_000_000, 5), "bad-input", /changed on the server/);
    etag = '"one"';
  });

  it("aborts with the signal's reason, before and during the body", async () => {
    const reason = new Error("stop");
    await expect(fromUrl(`${base}/good`, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const pending = fromUrl(`${base}/stall`, { signal: controller.signal, onProgress: () => controller.abort(reason) });
    await expect(pending).rejects.toBe(reason);
  });
});

describe("fromBytes, fromBlob, readExactly", () => {
  it("read the same", async () => {
    const bytes = new Uint8Array([...latin1("0123456789")]);
    for (const source of [
      fromBytes(bytes, "m"),
      fromBlob(new Blob(["0123", "456789"])),
      fromBlob(new File([bytes], "f.pth")),
    ]) {
      expect(source.size).toBe(10);
      expect(await source.read(3, 4)).toEqual(latin1("3456"));
      expect(await source.read(8, 9)).toEqual(latin1("89"));
    }
    expect(fromBlob(new File([bytes], "f.pth")).name).toBe("f.pth");
  });

  it("refuse a range that is not there, and a source that shrank", async () => {
    const source = fromBytes(latin1("0123"), "m");
    await expectError(
      readExactly(source, 2, 3, "part"),
      "truncated",
      /part needs 3 bytes at 2 and the file has 2 left/,
    );
    await expectError(readExactly(source, 9, 1, "part"), "truncated", /0 left/);
    expect((await readExactly(source, 9, 0, "part")).length).toBe(0);
    const shrunk = { ...source, size: 10 };
    await expectError(readExactly(shrunk, 2, 5, "part"), "truncated", /changed while it was read/);
  });
});
