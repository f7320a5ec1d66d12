import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { cacheFolder, unpackOnce } from "../../src/host/cache.ts";
import { systemBrowser } from "../../src/host/find_browser.ts";
import { readTar } from "../../src/host/tar.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kinema-cache-test-"));
  vi.stubEnv("KINEMA_CACHE", join(folder, "cache"));
  vi.stubEnv("TMPDIR", folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

describe("cacheFolder", () => {
  it("takes KINEMA_CACHE, then XDG_CACHE_HOME, then the home folder", () => {
    const all = { KINEMA_CACHE: join(folder, "a"), XDG_CACHE_HOME: join(folder, "b"), HOME: join(folder, "c") };
    expect(cacheFolder(all)).toBe(join(folder, "a"));
    expect(cacheFolder({ ...all, KINEMA_CACHE: "" })).toBe(join(folder, "b", "kinema"));
    expect(cacheFolder({ HOME: all.HOME, XDG_CACHE_HOME: "relative" })).toBe(join(folder, "c", ".cache", "kinema"));
    expect(existsSync(join(folder, "c", ".cache", "kinema"))).toBe(true);
  });

  it("passes over a place that cannot be written, but not over the one that was asked for", () => {
    writeFileSync(join(folder, "file"), "");
    const blocked = join(folder, "file", "below");
    expect(cacheFolder({ XDG_CACHE_HOME: blocked, HOME: folder })).toBe(join(folder, ".cache", "kinema"));
    expect(cacheFolder({ XDG_CACHE_HOME: blocked, HOME: blocked })).toMatch(/kinema-\d+$/);
    expect(() => cacheFolder({ KINEMA_CACHE: blocked, HOME: folder })).toThrow(/KINEMA_CACHE=.* cannot be written/);
    expect(() => cacheFolder({ KINEMA_CACHE: "relative", HOME: folder })).toThrow(/not an absolute path/);
  });
});

describe("unpackOnce", () => {
  it("fills once, and says so once", async () => {
    const fill = vi.fn((into: string) => writeFile(join(into, "data"), "1"));
    const said: string[] = [];
    const first = await unpackOnce("thing-1", fill, (message) => said.push(message));
    expect(await unpackOnce("thing-1", fill, (message) => said.push(message))).toBe(first);
    expect([fill.mock.calls.length, said.length]).toEqual([1, 1]);
    expect(readFileSync(join(first, "data"), "utf8")).toBe("1");
  });

  it("leaves nothing behind when filling fails, and tries again", async () => {
    const broken = (into: string) =>
      writeFile(join(into, "half"), "x").then(() => Promise.reject(new Error("disk full")));
    await expect(unpackOnce("thing-2", broken)).rejects.toMatchObject({
      code: "no-webgpu",
      message: expect.stringMatching(/cannot unpack thing-2 .*disk full; free space or set KINEMA_CACHE$/),
    });
    expect(readdirSync(cacheFolder())).toEqual([]);
    expect(readdirSync(await unpackOnce("thing-2", (into) => writeFile(join(into, "whole"), "y")))).toEqual(["whole"]);
  });

  it("drops old unfinished folders and keeps fresh ones", async () => {
    for (const name of ["old.tmp-1", "fresh.tmp-2"]) mkdirSync(join(cacheFolder(), name));
    utimesSync(join(cacheFolder(), "old.tmp-1"), 1e9, 1e9);
    await unpackOnce("thing-3", async () => {});
    expect(readdirSync(cacheFolder()).sort()).toEqual(["fresh.tmp-2", "thing-3"]);
  });

  it("is safe when processes do it at once", async () => {
    const contents = `
      import { unpackOnce } from "./src/host/cache.ts";
      import { writeFileSync } from "node:fs";
      const path = await unpackOnce("shared-1", async (folder) => {
        for (let i = 0; i < 50; i++) writeFileSync(folder + "/" + i, "x");
        await new Promise((done) => setTimeout(done, 300));
        writeFileSync(folder + "/last", "x");
      });
      const { readdirSync } = await import("node:fs");
      console.log(readdirSync(path).length);`;
    const outfile = join(folder, "program.mjs");
    const stdin = { contents, resolveDir: process.cwd() };
    await build({ stdin, bundle: true, platform: "node", format: "esm", target: "node20", outfile });
    const run = () => promisify(execFile)(process.execPath, [outfile]);
    const outputs = await Promise.all([run(), run(), run()]);
    expect(outputs.map((output) => output.stdout.trim())).toEqual(["51", "51", "51"]);
    expect(readdirSync(cacheFolder())).toEqual(["shared-1"]);
  });
});

describe("readTar", () => {
  /** One ustar entry, written from the POSIX table of fields. */
  function entry(path: string, data: string, { mode = "0000644", type = "0", size = data.length } = {}): Uint8Array {
    const block = new Uint8Array(512 + Math.ceil(data.length / 512) * 512);
    const put = (text: string, at: number) => block.set(new TextEncoder().encode(text), at);
    put(path, 0);
    put(`${mode}\0`, 100);
    put(`${size.toString(8).padStart(11, "0")} `, 124);
    put(type, 156);
    put("ustar\0", 257);
    put(data, 512);
    return block;
  }
  const archive = (...entries: Uint8Array[]) => new Uint8Array(Buffer.concat([...entries, new Uint8Array(1024)]));

  it("lists files with their execute bit", () => {
    const files = readTar(
      archive(entry("d/", "", { type: "5" }), entry("d/run", "a".repeat(513), { mode: "0000755" }), entry("b", "")),
      "t",
    );
    expect(files.map((file) => [file.path, file.data.length, file.executable])).toEqual([
      ["d/run", 513, true],
      ["b", 0, false],
    ]);
  });

  it.each([
    ["a path that climbs", archive(entry("a/../../b", "x")), /unsafe path/],
    ["an absolute path", archive(entry("/etc/x", "x")), /unsafe path/],
    ["a link", archive(entry("link", "", { type: "2" })), /type "2"/],
    ["a size past the end", archive(entry("a", "x", { size: 1e6 })), /runs past the end/],
    ["no end marker", entry("a", "x"), /no end marker/],
    ["something else", new Uint8Array(1024).fill(60), /octal/],
    ["nothing", new Uint8Array(0), /no end marker/],
  ])("refuses %s", (_what, bytes, message) => {
    expect(() => readTar(bytes, "t")).toThrow(message);
  });
});

describe("systemBrowser", () => {
  it("finds a program by name in PATH, and only an executable one", () => {
    const bin = join(folder, "bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "google-chrome"), "", { mode: 0o644 });
    writeFileSync(join(bin, "chromium"), "", { mode: 0o755 });
    expect(systemBrowser("linux", { PATH: `${join(folder, "none")}:${bin}` })).toBe(join(bin, "chromium"));
  });

  it.skipIf(process.platform === "darwin")("knows the usual places of macOS and Windows", () => {
    const mac = join(folder, "Applications/Chromium.app/Contents/MacOS");
    mkdirSync(mac, { recursive: true });
    writeFileSync(join(mac, "Chromium"), "", { mode: 0o755 });
    expect(systemBrowser("darwin", { HOME: folder })).toBe(join(mac, "Chromium"));
    expect(systemBrowser("win32", { PROGRAMFILES: folder })).toBeNull();
  });
});
