// Stores in files of the machine: the lock, and an hour (KINEMA_LONG=1).
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, describe, expect, it } from "vitest";
import { fileSource } from "../../src/host/file_source.ts";
import { nodeStoreFile } from "../../src/host/store_file.ts";
import { createStore, openStore, resumeStore } from "../../src/store/index.ts";
import { codesTrack, described, madeCodes, randomInts, sameCodes } from "./made.ts";

const folder = mkdtempSync(join(tmpdir(), "kinema-store-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string) => join(folder, name);

describe("a file of the machine", () => {
  it("is written, read, resumed", async () => {
    const track = codesTrack();
    const codes = madeCodes(track, 50, 3);
    const writer = await createStore(await nodeStoreFile(path("a.kvc"), { create: "new" }), described(track));
    await writer.append(codes.subarray(0, 31 * 15));
    await writer.close();
    expect(existsSync(path("a.kvc.lock"))).toBe(false);
    const again = await resumeStore(await nodeStoreFile(path("a.kvc")));
    expect(again.steps()).toBe(31);
    await again.append(codes.subarray(31 * 15));
    expect((await openStore(await fileSource(path("a.kvc")))).steps()).toBe(49); // committed, while it is being written
    await again.close();
    const reader = await openStore(await fileSource(path("a.kvc")));
    expect(sameCodes(await reader.read(0, 50), codes)).toBe(true);
  });

  it("has one writer at a time", async () => {
    const first = await nodeStoreFile(path("b.kvc"), { create: "new" });
    await expect(nodeStoreFile(path("b.kvc"))).rejects.toMatchObject({
      code: "bad-input",
      message: `${path("b.kvc")} is being written by process ${process.pid}; wait for it to end (its lock is ${path("b.kvc.lock")})`,
    });
    await first.close();
    await first.close();
    await expect(first.read(0, 1)).rejects.toMatchObject({ code: "closed" });
    // A process that is gone leaves a lock that counts for nothing.
    const gone = spawnSync(process.execPath, ["-e", "process.exit()"]).pid;
    writeFileSync(path("b.kvc.lock"), `${gone}\n`);
    await (await nodeStoreFile(path("b.kvc"))).close();
    expect(existsSync(path("b.kvc.lock"))).toBe(false);
    // So does one that had this process's number: a container that is started again counts from one.
    writeFileSync(path("b.kvc.lock"), `${process.pid}\n`);
    await (await nodeStoreFile(path("b.kvc"))).close();
    expect(existsSync(path("b.kvc.lock"))).toBe(false);
  });

  it("is read while it is written: what a commit adds after the first look is no fault", async () => {
    const track = codesTrack();
    const writer = await createStore(await nodeStoreFile(path("live.kvc"), { create: "new" }), described(track));
    await writer.append(madeCodes(track, 4, 3));
    const source = await fileSource(path("live.kvc"));
    await writer.append(madeCodes(track, 4, 4));
    const reader = await openStore(source);
    expect([reader.faults, reader.steps()]).toEqual([[], 8]);
    await writer.close();
  });

  it("says what is wrong with a path", async () => {
    await expect(nodeStoreFile(path("none.kvc"))).rejects.toThrow(/none\.kvc: no such file or folder; check the path/);
    await expect(nodeStoreFile(path("no/such.kvc"), { create: "new" })).rejects.toThrow(/no such file or folder/);
    writeFileSync(path("there.kvc"), "x");
    await expect(nodeStoreFile(path("there.kvc"), { create: "new" })).rejects.toThrow(/there\.kvc is there already/);
    const there = await nodeStoreFile(path("there.kvc"));
    await expect(createStore(there, described(codesTrack()))).rejects.toThrow(/not empty/);
    await there.close();
    await expect(nodeStoreFile(folder)).rejects.toThrow(/is a folder/);
    for (const name of ["none.kvc", "no/such.kvc"]) expect(existsSync(path(`${name}.lock`))).toBe(false);
    expect(readFileSync(path("there.kvc"), "utf8")).toBe("x");
  });
});

/** An hour of 256 x 256 at 25 frames a second, a code of 8 bits per 8 x 8 pixels; a minute unless KINEMA_LONG is set. */
const SECONDS = process.env.KINEMA_LONG ? 3600 : 60;

describe(`${SECONDS} seconds of codes`, () => {
  const track = codesTrack({ grid: [32, 32], codebooks: [{ kind: "vq", size: 256, dim: 64 }], chunk: 25 });
  const description = { ...described(track), width: 256, height: 256 };

  it("are appended in flat memory, as large as computed, and found in 50 ms", async () => {
    const file = path("hour.kvc");
    const writer = await createStore(await nodeStoreFile(file, { create: "new" }), description, { codec: "packed" });
    const random = randomInts(1);
    const step = new Uint8Array(1024);
    const heap: number[] = [];
    const collect = exposedGc();
    for (let second = 0; second < SECONDS; second++) {
      for (let frame = 0; frame < 25; frame++) {
        for (let i = 0; i < 8; i++) step[random(1024)] = random(256);
        step[0] = second & 255;
        step[1] = second >> 8;
        step[2] = frame;
        await writer.append(step);
      }
      if (second % Math.ceil(SECONDS / 60) === 0) {
        collect();
        await new Promise((done) => setImmediate(done));
        collect(); // buffers that the first found dead are given back by the second
        const { heapUsed, arrayBuffers } = process.memoryUsage();
        heap.push(heapUsed + arrayBuffers);
      }
    }
    expect(writer.steps()).toBe(25 * SECONDS);
    await writer.close();
    const tenth = Math.ceil(heap.length / 10);
    const [start, end] = [Math.max(...heap.slice(0, tenth)), Math.max(...heap.slice(-tenth))];
    expect(end).toBeLessThanOrEqual(start + 2 ** 20);

    // Superblocks and descriptions; codes of a byte, and a header of 64 bytes per chunk; per 16 chunks a page: 64 + 8, a
    // start, 28 bytes a chunk, and back pointers.
    const pages = Math.floor(SECONDS / 16);
    const back = pages > 1 ? Math.log2(pages) + 1 : 0;
    const computed = 16384 + SECONDS * (25 * 1024 + 64) + pages * (64 + 16 + 28 * 16 + 8 * back);
    const { size } = statSync(file);
    expect(Math.abs(size / computed - 1)).toBeLessThan(0.01);

    const source = await fileSource(file);
    const times: number[] = [];
    for (let trial = 0; trial < 100; trial++) {
      const second = random(SECONDS);
      const began = performance.now();
      const reader = await openStore(source); // each from nothing
      const chunk = (await reader.chunkAt(reader.stepAt(second + 0.5)))!;
      times.push(performance.now() - began);
      const codes = chunk.codes();
      expect([codes[0], codes[1], codes[2]]).toEqual([second & 255, second >> 8, 0]);
      expect(chunk.first).toBe(25 * second);
    }
    const median = times.sort((a, b) => a - b)[50]!;
    console.log(
      `${SECONDS} s: ${size} bytes, ${(100 * (size / computed - 1)).toFixed(3)} % off computed; heap ${start} to ${end} bytes; ` +
        `opening and seeking takes ${median.toFixed(1)} ms`,
    );
    expect(median).toBeLessThanOrEqual(50);
  }, 1_800_000);
});

/** The garbage collector, which Node hides. */
function exposedGc(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
}
