// What package.json exports, as an app imports it: the built files, by the package's own name.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import type * as compressorEntry from "../src/entries/compressor.ts";
import type * as storeEntry from "../src/entries/store.ts";
import { useGpu } from "./gpu.ts";
import { codesTrack, described, madeCodes } from "./store/made.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const read = (file: string) => JSON.parse(readFileSync(`${root}${file}`, "utf8"));
const { resolve } = createRequire(import.meta.url);
/** test/setup built it. */
const entry = (name: string) => import(pathToFileURL(resolve(name)).href);

const fixture = useGpu();

describe("the package's entries", () => {
  it("are all built, each with the types of its source", async () => {
    const typed: string[] = read("tsconfig.types.json").files;
    const exported = Object.entries<{ types: string; default: string }>(read("package.json").exports);
    expect(exported.map(([name]) => name)).toEqual([".", "./labels", "./store", "./compressor", "./augment"]);
    for (const [name, { types, default: script }] of exported) {
      const source = types.replace("./dist/types/", "src/").replace(/\.d\.ts$/, ".ts");
      expect(typed).toContain(source);
      expect(existsSync(`${root}${source}`)).toBe(true);
      expect(script).toBe(`./dist/${name === "." ? "index" : name.slice(2)}.js`);
      expect(Object.keys(await import(pathToFileURL(`${root}${script}`).href)).sort()).toEqual(
        Object.keys(await import(pathToFileURL(`${root}${source}`).href)).sort(),
      );
    }
  });

  it("kinema/store writes and reads a store without the GPU", async () => {
    const { createStore, MemoryFile, openStore, fromBlob, KinemaError }: typeof storeEntry =
      await entry("kinema/store");
    const track = codesTrack();
    const codes = madeCodes(track, 25, 5);
    const file = new MemoryFile();
    const writer = await createStore(file, described(track));
    await writer.append(codes);
    await writer.close();
    const reader = await openStore(fromBlob(new Blob([file.bytes.slice()]), "talk.kvc"));
    expect(await reader.read(0, 25)).toEqual(codes);
    const { KinemaError: theSame }: typeof compressorEntry = await entry("kinema/compressor");
    expect(theSame).toBe(KinemaError);
    await expect(reader.read(20, 26)).rejects.toBeInstanceOf(KinemaError);
  });

  it("kinema/compressor turns frames into codes and back", async () => {
    const { FrameEncoder, FrameDecoder, fromBytes, openCheckpoint, storeDescription }: typeof compressorEntry =
      await entry("kinema/compressor");
    const file = "kinema-compressor-192.safetensors";
    const weights = await openCheckpoint(fromBytes(new Uint8Array(readFileSync(`${root}weights/${file}`)), file));
    const size = 16;
    // Two flat frames: what a code sees is one colour.
    const frame = (value: number) => ({
      width: size,
      height: size,
      data: new Uint8Array(size * size * 4).fill(value),
    });
    using encoder = await FrameEncoder.create(fixture.gpu, weights, { frames: 2, size });
    expect(await encoder.push(frame(90))).toBeNull();
    const codes = (await encoder.push(frame(90)))!;
    const { tracks } = await storeDescription(weights, { size, fps: 25 });
    expect(tracks[0]).toMatchObject({ stride: [2, 8, 8], grid: [2, 2] });
    expect(codes.length).toBe(2 * 2 * 2);
    using decoder = await FrameDecoder.create(fixture.gpu, weights, { steps: 1, height: size, width: size });
    const frames = [];
    for await (const rgba of decoder.frames(codes)) frames.push(rgba);
    expect(frames.map(({ length }) => length)).toEqual([size * size * 4, size * size * 4]);
    const grey = frames.flatMap((rgba) => [...rgba].filter((_, i) => i % 4 < 3));
    const error = grey.reduce((sum, value) => sum + Math.abs(value - 90), 0) / grey.length;
    expect(error).toBeLessThan(12); // 26 dB
  });
});
