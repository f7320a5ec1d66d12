// Where `kinema compress` writes: a new store, one that was broken off at any byte, never over anything else.
import { existsSync, readFileSync } from "node:fs";
import { afterAll, expect, it, vi } from "vitest";
import { asText, compressed, openOutput, videoHash } from "../../src/cli/compress.ts";
import { storeDescription } from "../../src/compressor.ts";
import { fileSource } from "../../src/host/file_source.ts";
import { createStore, MemoryFile, openStore, type StoreDescription } from "../../src/store/index.ts";
import { isUnbegun } from "../../src/store/writer.ts";
import { fromBytes } from "../../src/weights/byte_source.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { codesTrack, described, madeCodes, RecordedFile } from "../store/made.ts";
import { ROOT } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const track = codesTrack();
const description = { ...described(track), source: "film.mp4", sourceHash: "7".repeat(64) };
const STEPS = 9;

it("begins anew where a kill left a part of the first write, and goes on where there is more", async () => {
  const recorded = new RecordedFile();
  const writer = await createStore(recorded, description);
  await writer.append(madeCodes(track, 2, 3));
  await writer.close();
  const [first] = recorded.epochs;
  const { at, bytes } = first!.writes[0]!;
  const path = files.path("killed.kvc");
  for (const done of [
    ...Array.from({ length: 8 }, (_, i) => 64 + i),
    200,
    4095,
    4096,
    4100,
    4160,
    5000,
    bytes.length,
  ]) {
    const left = new Uint8Array(at + done);
    left.set(bytes.subarray(0, done), at);
    files.write("killed.kvc", left);
    const begun = await openOutput(path, description, STEPS);
    await begun.append(madeCodes(track, 2, 5));
    await begun.close();
    const reader = await openStore(await fileSource(path));
    expect([reader.steps(), reader.faults], `${done} bytes`).toEqual([2, []]);
  }
  files.write("killed.kvc", recorded.bytes);
  const resumed = await openOutput(path, description, STEPS);
  expect(resumed.steps()).toBe(2);
  await resumed.close();
});

it("begins anew after any first bytes of the first write, and after none others", { timeout: 60_000 }, async () => {
  const whole = new MemoryFile();
  await createStore(whole, description);
  const image = whole.bytes.slice().fill(0, 0, 8192);
  const unbegun = (bytes: Uint8Array) => isUnbegun(fromBytes(bytes), description);
  for (let length = 0; length <= 8192 + 64; length++) {
    const left = image.slice(0, length);
    expect(await unbegun(left), `${length} bytes`).toBe(true);
    // The checksum's bytes are those of no id that is known before the id is whole.
    if (length === 0 || (length > 8196 && length <= 8200)) continue;
    left[length - 1]! ^= 1;
    const lastOfId = length > 8192 + 20 && length < 8192 + 24;
    expect(await unbegun(left), `${length} bytes, the last one another`).toBe(lastOfId);
  }
  for (const length of [1, 4096, 8191, 8192, 8193, 8200, 8215, 8216]) {
    const path = files.write(`first-${length}.kvc`, image.subarray(0, length));
    await (await openOutput(path, description, STEPS)).close();
    expect((await openStore(await fileSource(path))).faults, `${length} bytes`).toEqual([]);
  }
});

it("never writes over what is not its own", async () => {
  const other = new MemoryFile();
  await createStore(other, { ...description, source: "another film" });
  const torn = other.bytes.slice(0, 9000).fill(0, 0, 8192);
  const own = new MemoryFile();
  await createStore(own, description);
  const changed = own.bytes.slice(0, 9000).fill(0, 0, 8192);
  changed[8990] = 7; // a description of another length, or no description
  const contents = {
    text: new TextEncoder().encode("hello"),
    zeros: new Uint8Array(9000),
    short: new Uint8Array(4000).fill(1, 3999),
    torn,
    changed,
    damaged: own.bytes.slice().fill(1, 8192),
    other: other.bytes.slice(),
  };
  for (const [name, bytes] of Object.entries(contents)) {
    const path = files.write(`${name}.kvc`, bytes);
    await expect(openOutput(path, description, STEPS), name).rejects.toThrow(/is not a store|holds other codes/);
    expect(new Uint8Array(readFileSync(path)), name).toEqual(bytes);
    expect(existsSync(`${path}.lock`)).toBe(false);
  }
});

it("goes on with codes of the same video only", async () => {
  const { sourceHash: _, ...older } = description;
  const held = async (name: string, made: StoreDescription, steps: number) => {
    const file = new MemoryFile();
    const writer = await createStore(file, made);
    await writer.append(madeCodes(track, steps, 3));
    await writer.close();
    return files.write(name, file.bytes.slice());
  };
  const more = /holds 10 steps of codes, more than the 9 of the video; give another name, or remove it/;
  const another = /holds codes of another video, or of a part of it or a changed one; give another name/;
  for (const [name, made, steps, message] of [
    ["own", description, STEPS, null],
    ["older", older, STEPS, null],
    ["own longer", description, STEPS + 1, more],
    ["older longer", older, STEPS + 1, more],
    ["of another", { ...description, sourceHash: "8".repeat(64) }, 2, another],
    ["of none", { ...description, sourceHash: null }, 2, another],
    ["of another name", { ...description, source: "other.mp4" }, 2, /holds other codes/],
  ] as const) {
    const path = await held(`${name}.kvc`, made, steps);
    const before = readFileSync(path);
    if (message) {
      await expect(openOutput(path, description, STEPS), name).rejects.toThrow(message);
      expect(readFileSync(path).equals(before), name).toBe(true);
      continue;
    }
    const writer = await openOutput(path, description, STEPS);
    expect([writer.steps(), writer.description], name).toEqual([steps, made]);
    await writer.close();
  }
});

it("knows a video by its length and its two ends", async () => {
  const hash = (bytes: Uint8Array) => videoHash(fromBytes(bytes));
  const film = Uint8Array.from({ length: 200_000 }, (_, i) => i % 251);
  const own = await hash(film);
  expect(own).toMatch(/^[0-9a-f]{64}$/);
  expect(await hash(film.slice())).toBe(own);
  for (const at of [0, 65_535, 200_000 - 65_536, 199_999]) {
    const other = film.slice();
    other[at]! ^= 1;
    expect(await hash(other), `byte ${at}`).not.toBe(own);
  }
  const longer = new Uint8Array(200_001);
  longer.set(film.subarray(0, 100_000));
  longer.set(film.subarray(100_000), 100_001);
  expect(await hash(longer)).not.toBe(own);
  expect(await hash(film.subarray(0, 100))).not.toBe(await hash(film.subarray(0, 99)));
});

it("lets go of the file where a store cannot be begun", async () => {
  const path = files.path("wrong.kvc");
  await expect(openOutput(path, { ...description, width: 0 }, STEPS)).rejects.toThrow(/width and height/);
  expect(existsSync(`${path}.lock`)).toBe(false);
  const random = vi.spyOn(crypto, "getRandomValues").mockImplementationOnce(() => {
    throw new Error("no randomness");
  });
  await expect(openOutput(path, description, STEPS)).rejects.toThrow("no randomness");
  random.mockRestore();
  await (await openOutput(path, description, STEPS)).close();
});

it("says the rate of the weights that were given", async () => {
  const weights = await openCheckpoint(await fileSource(`${ROOT}weights/kinema-compressor-384.safetensors`));
  const made = await storeDescription(weights, { size: 64, fps: 25 });
  const path = files.write("sized.kvc", new Uint8Array(1000));
  expect(asText(await compressed(path, { adapter: "a GPU", description: made, steps: 50 }))).toBe(
    `${path}: 4.00 s of 64 x 64 in 0.001 MB, raw over file 1229 (codes of fixed length: 384); on a GPU\n`,
  );
});
