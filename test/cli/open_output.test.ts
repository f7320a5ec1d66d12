// Where `kinema compress` writes: a new store, one that was broken off at any byte, never over anything else.
import { existsSync, readFileSync } from "node:fs";
import { afterAll, expect, it, vi } from "vitest";
import { openOutput, summary } from "../../src/cli/compress.ts";
import { storeDescription } from "../../src/compressor.ts";
import { fileSource } from "../../src/host/file_source.ts";
import { createStore, MemoryFile, openStore } from "../../src/store/index.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { codesTrack, described, madeCodes, RecordedFile } from "../store/made.ts";
import { ROOT } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const track = codesTrack();
const description = described(track);

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
    const begun = await openOutput(path, description);
    await begun.append(madeCodes(track, 2, 5));
    await begun.close();
    const reader = await openStore(await fileSource(path));
    expect([reader.steps(), reader.faults], `${done} bytes`).toEqual([2, []]);
  }
  files.write("killed.kvc", recorded.bytes);
  const resumed = await openOutput(path, description);
  expect(resumed.steps()).toBe(2);
  await resumed.close();
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
    torn,
    changed,
    damaged: own.bytes.slice().fill(1, 8192),
    other: other.bytes.slice(),
  };
  for (const [name, bytes] of Object.entries(contents)) {
    const path = files.write(`${name}.kvc`, bytes);
    await expect(openOutput(path, description), name).rejects.toThrow(/is not a store|holds other codes/);
    expect(new Uint8Array(readFileSync(path)), name).toEqual(bytes);
    expect(existsSync(`${path}.lock`)).toBe(false);
  }
});

it("lets go of the file where a store cannot be begun", async () => {
  const path = files.path("wrong.kvc");
  await expect(openOutput(path, { ...description, width: 0 })).rejects.toThrow(/width and height/);
  expect(existsSync(`${path}.lock`)).toBe(false);
  const random = vi.spyOn(crypto, "getRandomValues").mockImplementationOnce(() => {
    throw new Error("no randomness");
  });
  await expect(openOutput(path, description)).rejects.toThrow("no randomness");
  random.mockRestore();
  await (await openOutput(path, description)).close();
});

it("says the rate of the weights that were given", async () => {
  const weights = await openCheckpoint(await fileSource(`${ROOT}weights/kinema-compressor-384.safetensors`));
  const made = await storeDescription(weights, { size: 64, fps: 25 });
  const path = files.write("sized.kvc", new Uint8Array(1000));
  expect(await summary(path, { adapter: "a GPU", description: made, steps: 50 })).toBe(
    `${path}: 4.00 s of 64 x 64 in 0.001 MB, raw over file 1229 (codes of fixed length: 384); on a GPU\n`,
  );
});
