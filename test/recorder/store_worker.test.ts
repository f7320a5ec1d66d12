// The recorder's worker over a file system in memory: what it begins, and what it leaves alone.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { recordingFile, takenNames } from "../../bench/recorder/folder.ts";
import { type Remote, remote } from "../../bench/recorder/remote.ts";
import type { StoreCalls } from "../../bench/recorder/store_worker.ts";
import { openStore } from "../../src/store/index.ts";
import { fromBlob } from "../../src/weights/byte_source.ts";
import { codesTrack, described, madeCodes } from "../store/made.ts";
import { FakeFolder } from "./fake_opfs.ts";

const track = codesTrack();
const description = described(track);
let store: Remote<StoreCalls>;

beforeEach(async () => {
  const opfs = new FakeFolder();
  vi.stubGlobal("navigator", { storage: { getDirectory: async () => opfs } });
  // Both ends of a worker's messages in one place.
  vi.stubGlobal("onmessage", null);
  vi.resetModules();
  await import("../../bench/recorder/store_worker.ts");
  const toWorker = globalThis.onmessage as (message: unknown) => void;
  const worker = { postMessage: (data: unknown) => void toWorker({ data }) } as Worker;
  vi.stubGlobal("postMessage", (data: unknown) => worker.onmessage!({ data } as MessageEvent));
  store = remote<StoreCalls>(worker);
});
afterEach(() => vi.unstubAllGlobals());

const bytesOf = async (name: string) => new Uint8Array(await (await recordingFile(name)).arrayBuffer());

it("never touches a recording whose name it is to begin another with", async () => {
  await store.begin("a.kvc", description);
  await store.append(madeCodes(track, 4, 3));
  await store.end();
  const before = await bytesOf("a.kvc");
  await expect(store.begin("a.kvc", description)).rejects.toThrow(/a\.kvc is not empty/);
  expect(await bytesOf("a.kvc")).toEqual(before);
  expect((await openStore(fromBlob(await recordingFile("a.kvc")))).steps()).toBe(4);
  // It goes on, and the refused one holds no file.
  await store.begin("b.kvc", description);
  expect(await takenNames()).toEqual(new Set(["a.kvc", "b.kvc"]));
  await expect(store.begin("b.kvc", description)).rejects.toThrow(/in use/);
  expect(await takenNames()).toEqual(new Set(["a.kvc", "b.kvc"]));
});

it("removes what it made where no store can be begun", async () => {
  await expect(store.begin("a.kvc", { ...description, width: 0 })).rejects.toThrow(/width and height/);
  expect(await takenNames()).toEqual(new Set());
  expect((await store.begin("a.kvc", description)).steps).toBe(0);
});
