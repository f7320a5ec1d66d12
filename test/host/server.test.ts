import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseRange } from "../../src/host/range.ts";
import { type Server, startServer } from "../../src/host/server.ts";

/** A raw request: fetch() would tidy the path first. */
function raw(server: Server, path: string, method = "GET", headers: Record<string, string> = {}) {
  const { hostname, port, pathname } = new URL(server.base);
  return new Promise<{ status: number; body: string; headers: NodeJS.Dict<string | string[]> }>((done, failed) => {
    request({ hostname, port, path: path.replace("BASE", pathname), method, headers }, (response) => {
      let body = "";
      response.setEncoding("latin1").on("data", (chunk) => {
        body += chunk;
      });
      response.on("end", () => done({ status: response.statusCode!, body, headers: response.headers }));
    })
      .on("error", failed)
      .end();
  });
}

describe("the loopback server", () => {
  const folder = mkdtempSync(join(tmpdir(), "kinema-server-"));
  let server: Server;
  beforeAll(async () => {
    mkdirSync(join(folder, "root/sub"), { recursive: true });
    writeFileSync(join(folder, "root/sub/clip.mp4"), "0123456789");
    writeFileSync(join(folder, "root/empty.bin"), "");
    writeFileSync(join(folder, "secret.txt"), "not for the page");
    symlinkSync(join(folder, "secret.txt"), join(folder, "root/link.txt"));
    server = await startServer({ clips: join(folder, "root") });
  });
  afterAll(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  it("serves a file of a root with type and isolation headers", async () => {
    const answer = await raw(server, "BASE/clips/sub/clip.mp4");
    expect([answer.status, answer.body]).toEqual([200, "0123456789"]);
    expect(answer.headers["content-type"]).toBe("video/mp4");
    expect(answer.headers["cross-origin-opener-policy"]).toBe("same-origin");
    expect(answer.headers["cross-origin-embedder-policy"]).toBe("require-corp");
  });

  it.each([
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=7-", 206, "789", "bytes 7-9/10"],
    ["bytes=-3", 206, "789", "bytes 7-9/10"],
    ["bytes=8-99", 206, "89", "bytes 8-9/10"],
    ["bytes=10-", 416, "", "bytes */10"],
    ["bytes=0-1,4-5", 200, "0123456789", undefined],
  ])("answers the range %s with %i", async (range, status, body, contentRange) => {
    const answer = await raw(server, "BASE/clips/sub/clip.mp4", "GET", { range });
    expect([answer.status, answer.body, answer.headers["content-range"]]).toEqual([status, body, contentRange]);
  });

  it.each([
    "BASE/clips/../secret.txt",
    "BASE/clips/%2e%2e/secret.txt",
    "BASE/clips/sub%2f..%2f..%2fsecret.txt",
    "BASE/clips/sub/..%5c..%5csecret.txt",
    "BASE/clips/link.txt",
    "BASE/clips//secret.txt",
    "BASE/clips/sub",
    "BASE/clips/%00",
    "BASE/clips/%zz",
    "BASE/constructor/x",
    "BASE",
    "/wrong-secret/clips/sub/clip.mp4",
    "/clips/sub/clip.mp4",
  ])("refuses %s", async (path) => {
    expect(await raw(server, path)).toMatchObject({ status: 404, body: "" });
  });

  it("serves a single file, an empty one and bytes; forgets bytes", async () => {
    const file = server.file(join(folder, "secret.txt"));
    expect(await (await fetch(file)).text()).toBe("not for the page");
    expect(new URL(file).pathname).not.toContain(folder);
    expect((await fetch(`${server.base}/clips/empty.bin`)).headers.get("content-length")).toBe("0");
    const bytes = server.bytes(new Uint8Array([1, 2, 3]), "application/x");
    expect(new Uint8Array(await (await fetch(bytes.url)).arrayBuffer())).toEqual(new Uint8Array([1, 2, 3]));
    bytes.forget();
    expect((await fetch(bytes.url)).status).toBe(404);
  });

  it("takes one posted body an inbox, and no other method", async () => {
    const inbox = server.inbox();
    const body = new Uint8Array(300_001).map((_, index) => index * 7);
    expect((await fetch(inbox.url, { method: "POST", body })).status).toBe(204);
    expect(Buffer.compare(await inbox.body, body)).toBe(0);
    expect((await fetch(inbox.url, { method: "POST", body })).status).toBe(404);
    expect((await raw(server, "BASE/clips/sub/clip.mp4", "DELETE")).status).toBe(405);
    expect(await raw(server, "BASE/clips/sub/clip.mp4", "HEAD")).toMatchObject({ status: 200, body: "" });
  });
});

describe("parseRange", () => {
  it("handles the edges", () => {
    expect(parseRange(undefined, 5)).toBeNull();
    expect(parseRange("bytes=-", 5)).toBeNull();
    expect(parseRange("bytes=3-2", 5)).toBeNull();
    expect(parseRange("bytes=-0", 5)).toBe("unsatisfiable");
    expect(parseRange("bytes=0-0", 0)).toBe("unsatisfiable");
    expect(parseRange("bytes=-9", 5)).toEqual({ start: 0, end: 4 });
    expect(parseRange("bytes=4-4", 5)).toEqual({ start: 4, end: 4 });
  });
});
