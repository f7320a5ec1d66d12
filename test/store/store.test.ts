// Stores in memory: what is written is read, from anywhere, by few reads.
import { describe, expect, it } from "vitest";
import { crc32c } from "../../src/store/crc32c.ts";
import { cutRange, cutStore } from "../../src/store/cut.ts";
import { createStore, MemoryFile, openStore, resumeStore, type StoreDescription } from "../../src/store/index.ts";
import { decodeSuperblock, SUPERBLOCK_AT, SUPERBLOCK_BYTES, type Superblock } from "../../src/store/layout.ts";
import { fromBlob, fromBytes } from "../../src/weights/byte_source.ts";
import { codesTrack, described, madeCodes, randomInts, sameCodes } from "./made.ts";

const EACH = 15;
const track = codesTrack();
const labels = { name: "labels", kind: "bytes", format: "text/plain" } as const;
const thumbnails = { name: "thumbnails", kind: "bytes", format: "image/webp", every: 25 } as const;
const text = (words: string) => new TextEncoder().encode(words);

/** Counts reads and the bytes they ask for. */
class CountedFile extends MemoryFile {
  reads = 0;
  asked = 0;
  override async read(offset: number, length: number): Promise<Uint8Array> {
    this.reads++;
    this.asked += length;
    return super.read(offset, length);
  }
}

async function made(count: number, description: StoreDescription = described(track), file = new CountedFile()) {
  const codes = madeCodes(track, count, 21);
  const writer = await createStore(file, description);
  await writer.append(codes);
  await writer.commit();
  return { file, codes, writer };
}

describe("writing and reading", () => {
  it("gives back what was appended, in any portions, with pauses and a reopening", async () => {
    const [count, random] = [211, randomInts(4)];
    const codes = madeCodes(track, count, 3);
    const file = new MemoryFile();
    let writer = await createStore(file, described(track));
    for (let step = 0; step < count; ) {
      const portion = Math.min(count - step, random(7));
      const part = codes.slice(step * EACH, (step + portion) * EACH);
      const done = writer.append(part);
      part.fill(255); // appended codes are copied
      step += portion;
      await done;
      expect(writer.steps()).toBe(step);
      if (random(5) === 0) await writer.commit();
      if (random(9) === 0) {
        await writer.commit();
        writer = await resumeStore(file);
        expect(writer.steps()).toBe(step);
      }
    }
    await writer.close();
    const bytes = file.bytes.slice();
    for (const source of [fromBytes(bytes), fromBlob(new Blob([bytes]), "blob"), new MemoryFile(bytes)]) {
      const reader = await openStore(source);
      expect([reader.steps(), reader.faults]).toEqual([count, []]);
      expect(reader.description).toEqual(described(track));
      expect(sameCodes(await reader.read(0, count), codes)).toBe(true);
    }
  });

  it("works off calls that are not awaited one after the other", async () => {
    const codes = madeCodes(track, 100, 8);
    const file = new MemoryFile();
    const writer = await createStore(file, described(track, labels));
    const calls = Array.from({ length: 100 }, (_, i) => writer.append(codes.subarray(i * EACH, (i + 1) * EACH)));
    calls.push(writer.appendBytes("labels", 4, 2, text("a")), writer.commit());
    await Promise.all(calls);
    const reader = await openStore(file);
    expect(sameCodes(await reader.read(0, 100), codes)).toBe(true);
  });

  it("reads chunks with one read each, as codes and as words", async () => {
    const { file, codes } = await made(41);
    const reader = await openStore(file);
    file.reads = 0;
    let next = 0;
    for await (const chunk of reader.chunks()) {
      const end = chunk.first + chunk.steps;
      expect(chunk.first).toBe(next);
      expect(sameCodes(chunk.codes(), codes.subarray(next * EACH, end * EACH))).toBe(true);
      const words = chunk.words();
      expect(words.length).toBe(Math.ceil((chunk.steps * EACH * 4) / 32));
      for (let i = 0; i < chunk.steps * EACH; i++) {
        expect((words[i >> 3]! >>> (4 * (i & 7))) & 15).toBe(codes[next * EACH + i]);
      }
      next = end;
    }
    expect(next).toBe(41);
    expect(file.reads).toBe(21); // the only index page was read when the store was opened
  });

  it("says per chunk how much changed", async () => {
    const codes = new Uint8Array(6 * EACH);
    codes.fill(1, 3 * EACH, 3 * EACH + 5);
    const file = new MemoryFile();
    const writer = await createStore(file, described(track));
    await writer.append(codes);
    await writer.close();
    const changes: number[][] = [];
    for await (const { change } of (await openStore(new MemoryFile(file.bytes))).chunks())
      changes.push([change.mean, change.max]);
    const third = Math.round(65535 / 3) / 65535;
    const sixth = Math.round(65535 / 6) / 65535;
    expect(changes).toEqual([
      [0, 0],
      [sixth, third],
      [sixth, third], // the fifth step differs from the fourth, which is in the chunk before
    ]);
  });

  it("keeps several tracks apart, those of bytes with gaps", async () => {
    const latent = codesTrack({
      name: "fine",
      stride: [2, 4, 4],
      codebooks: [{ kind: "fsq", size: 64, levels: [4, 4, 4], dim: 3 }],
    });
    const file = new MemoryFile();
    const writer = await createStore(file, described(track, latent, labels, thumbnails));
    const [a, b] = [madeCodes(track, 120, 1), madeCodes(latent, 60, 2)];
    for (let step = 0; step < 120; step++) {
      await writer.append(a.subarray(step * EACH, (step + 1) * EACH), "codes");
      if (step % 2 === 1) await writer.append(b.subarray(((step - 1) / 2) * EACH, ((step + 1) / 2) * EACH), "fine");
      if (step % 11 === 3) await writer.appendBytes("labels", step, 5, text(`label ${step}`));
      if (step % 25 === 0) await writer.appendBytes("thumbnails", step / 25, 1, text(`picture ${step}`));
    }
    await writer.close();
    const reader = await openStore(new MemoryFile(file.bytes));
    expect(reader.description.tracks.map(({ name }) => reader.steps(name))).toEqual([120, 60, 118, 5]);
    expect(sameCodes(await reader.read(13, 117, "codes"), a.subarray(13 * EACH, 117 * EACH))).toBe(true);
    expect(sameCodes(await reader.read(7, 59, "fine"), b.subarray(7 * EACH, 59 * EACH))).toBe(true);
    const seen: (string | null)[] = [];
    for (const step of [0, 2, 3, 7, 8, 14, 113, 117, 118]) {
      const chunk = await reader.chunkAt(step, "labels");
      seen.push(chunk && new TextDecoder().decode(chunk.payload));
    }
    expect(seen).toEqual([null, null, "label 3", "label 3", null, "label 14", "label 113", "label 113", null]);
    expect([reader.stepAt(2, "codes"), reader.stepAt(2, "fine"), reader.stepAt(2, "thumbnails")]).toEqual([50, 25, 2]);
    expect([reader.stepAt(-1, "codes"), reader.stepAt(1e9, "codes")]).toEqual([0, 119]);
    await expect(reader.read(0, 1)).rejects.toThrow(/2 tracks of codes; name one of codes, fine, labels, thumbnails/);
    await expect(reader.read(0, 1, "labels")).rejects.toThrow(/track "labels" holds bytes/);
    await expect(reader.read(0, 1, "sound")).rejects.toThrow(/there is no track "sound"/);
  });

  it("commits several chunks together when told to", async () => {
    const file = new MemoryFile();
    const writer = await createStore(file, described(track), { chunksPerCommit: 5 });
    const codes = madeCodes(track, 32, 6);
    const seen: number[] = [];
    for (let chunk = 0; chunk < 16; chunk++) {
      await writer.append(codes.subarray(chunk * 2 * EACH, (chunk + 1) * 2 * EACH));
      seen.push((await openStore(file)).steps());
    }
    expect(seen).toEqual([0, 0, 0, 0, 10, 10, 10, 10, 10, 20, 20, 20, 20, 20, 30, 30]);
    await writer.close();
    expect(sameCodes(await (await openStore(new MemoryFile(file.bytes))).read(0, 32), codes)).toBe(true);
  });

  it("tries again what the file did not take", async () => {
    class FullFile extends MemoryFile {
      full = false;
      override async write(at: number, bytes: Uint8Array): Promise<void> {
        if (this.full) throw new Error("no space");
        return super.write(at, bytes);
      }
    }
    const file = new FullFile();
    const codes = madeCodes(track, 12, 6);
    const writer = await createStore(file, described(track));
    await writer.append(codes.subarray(0, 2 * EACH));
    file.full = true;
    await expect(writer.append(codes.subarray(2 * EACH, 4 * EACH))).rejects.toThrow("no space");
    expect([writer.steps(), (await openStore(file)).steps()]).toEqual([4, 2]);
    file.full = false;
    await writer.append(codes.subarray(4 * EACH));
    await writer.close();
    expect(sameCodes(await (await openStore(new MemoryFile(file.bytes))).read(0, 12), codes)).toBe(true);
  });
});

describe("seeking", () => {
  it("finds 10,000 random steps as a linear scan does, by O(log n) reads", async () => {
    const chunks = 5000;
    const file = new CountedFile();
    const writer = await createStore(file, described(track, labels), { codec: "packed", chunksPerCommit: 256 });
    const random = randomInts(17);
    const list: { first: number; steps: number }[] = [];
    for (let chunk = 0, end = 0; chunk < chunks; chunk++) {
      // Chunks of 1 and 2 steps, and labels now and then.
      const steps = 1 + random(2);
      await writer.append(madeCodes(track, steps, chunk));
      await writer.commit();
      list.push({ first: end, steps });
      end += steps;
      if (random(50) === 0) await writer.appendBytes("labels", end, 1, text("x"));
    }
    expect((await openStore(file)).faults).toEqual([]);
    [file.reads, file.asked] = [0, 0];
    const reader = await openStore(file);
    expect(file.reads).toBe(2); // superblocks and description, and the last index page
    expect(file.asked).toBeLessThan(18_000);
    const pages = list.length / 16;
    let most = 0;
    for (let trial = 0; trial < 10_000; trial++) {
      const step = random(reader.steps());
      const want = list[linear(list, step)]!;
      file.reads = 0;
      for await (const entry of reader.entries(step, step + 1)) {
        expect([entry.first, entry.steps]).toEqual([want.first, want.steps]);
      }
      most = Math.max(most, file.reads);
    }
    // From the last page two candidates a level at most, each one read.
    expect(most).toBeLessThanOrEqual(2 * (Math.ceil(Math.log2(pages)) + 2));
    expect(most).toBeGreaterThan(4);
  }, 60_000);

  function linear(list: readonly { first: number; steps: number }[], step: number): number {
    let [low, high] = [0, list.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (list[middle]!.first <= step) low = middle;
      else high = middle - 1;
    }
    return low;
  }
});

describe("cutting", () => {
  const description = described(track, labels, thumbnails);

  it.each([
    [0, Number.POSITIVE_INFINITY],
    [0.2, 1.4],
    [0.21, 1.37],
    [0.5, 0.51],
    [1.5, 99],
  ])("from %s to %s s keeps codes, labels and thumbnails of that time", async (from, to) => {
    const { file, codes, writer } = await made(60, description);
    await writer.appendBytes("labels", 3, 4, text("three"));
    await writer.appendBytes("labels", 20, 4, text("twenty"));
    for (let second = 0; second < 3; second++) await writer.appendBytes("thumbnails", second, 1, text(`${second}`));
    const reader = await openStore(file);
    const range = cutRange(reader, from, to);
    expect(range.first).toBe(Math.floor(from * 25 + 1e-6));
    // The video ends with its codes, a thumbnail of its last second or not.
    expect(range.end).toBe(Math.min(Math.ceil(to * 25 - 1e-6), 60));
    const out = new MemoryFile();
    const cut = await createStore(out, reader.description);
    await cutStore(reader, cut, range);
    const result = await openStore(out);
    const end = Math.min(range.end, 60);
    expect(result.steps("codes")).toBe(end - range.first);
    expect(sameCodes(await result.read(0, end - range.first), codes.subarray(range.first * EACH, end * EACH))).toBe(
      true,
    );
    const kept: string[] = [];
    for (const name of ["labels", "thumbnails"]) {
      for await (const { first, payload } of result.chunks(0, undefined, name))
        kept.push(`${first} ${new TextDecoder().decode(payload)}`);
    }
    const inside = (step: number, every: number) => step * every >= range.first && step * every < range.end;
    const wanted: string[] = [];
    for (const [step, word] of [
      [3, "three"],
      [20, "twenty"],
    ] as const)
      if (inside(step, 1)) wanted.push(`${step - range.first} ${word}`);
    for (const second of [0, 1, 2])
      if (inside(second, 25)) wanted.push(`${second - Math.ceil(range.first / 25)} ${second}`);
    expect(kept).toEqual(wanted);
  });

  it("of bytes alone ends where they do", async () => {
    const file = new MemoryFile();
    const writer = await createStore(file, described(thumbnails));
    await writer.appendBytes("thumbnails", 0, 3, text("all"));
    expect(cutRange(await openStore(file), 1, Number.POSITIVE_INFINITY)).toEqual({ first: 25, end: 75 });
  });

  it("copies whole chunks as they are", async () => {
    const { file } = await made(60);
    const reader = await openStore(file);
    const out = new MemoryFile();
    const writer = await createStore(out, reader.description);
    await cutStore(reader, writer, { first: 3, end: 40 });
    const payloads: Uint8Array[] = [];
    for await (const { payload } of (await openStore(out)).chunks()) payloads.push(payload.slice());
    let chunk = 1; // the first holds step 3, half of a chunk
    for await (const { payload } of reader.chunks(4, 40)) expect(payloads[chunk++]).toEqual(payload);
    expect(chunk).toBe(payloads.length);
  });
});

describe("a store of which something is lost", () => {
  /** The bytes of a store of 60 steps in 30 chunks, of which those that hold the given steps are damaged. */
  async function damaged(...steps: number[]) {
    const { file, codes, writer } = await made(60, described(track, labels));
    await writer.appendBytes("labels", 3, 4, text("three"));
    await writer.appendBytes("labels", 20, 4, text("twenty"));
    await writer.commit();
    const reader = await openStore(file);
    for (const step of steps) file.bytes[(await reader.chunkAt(step, "codes"))!.offset + 66]! ^= 8;
    return { file: new MemoryFile(file.bytes.slice()), codes };
  }

  it("gives what is whole and names what is not, in order", async () => {
    const { file, codes } = await damaged(10, 12, 58);
    const reader = await openStore(file);
    const seen: [number, number | null, boolean][] = [];
    for await (const { first, steps, chunk, error } of reader.parts(7, undefined, "codes")) {
      seen.push([first, steps, chunk !== null]);
      if (error) expect(error).toMatchObject({ code: "bad-file", details: { track: "codes", first, steps } });
      else expect(sameCodes(chunk.codes(), codes.subarray(first * EACH, (first + steps) * EACH))).toBe(true);
    }
    const all = Array.from({ length: 27 }, (_, i) => [6 + 2 * i, 2, ![10, 12, 58].includes(6 + 2 * i)]);
    expect(seen).toEqual(all);
    expect(await reader.check("codes")).toEqual([
      { first: 10, steps: 4 },
      { first: 58, steps: 2 },
    ]);
    expect(await reader.check("labels")).toEqual([]);
    await expect(reader.read(9, 14, "codes")).rejects.toThrow(/steps 10 to 11 of track "codes" are damaged/);
  });

  it("is copied with what is lost left out, the rest at its place", async () => {
    const { file, codes } = await damaged(0, 30, 58);
    const reader = await openStore(file);
    const out = new MemoryFile();
    const writer = await createStore(out, reader.description);
    await expect(cutStore(reader, writer, cutRange(reader, 0, 99))).rejects.toThrow(/steps 0 to 1 .* are damaged/);
    const copied = new MemoryFile();
    const copy = await createStore(copied, reader.description, { chunksPerCommit: 5 });
    const everything = { first: 0, end: Number.POSITIVE_INFINITY };
    await cutStore(reader, copy, everything, undefined, undefined, "leave out");
    const result = await openStore(copied);
    expect(result.faults).toEqual([]);
    expect(await result.check("codes")).toEqual([
      { first: 0, steps: 2 },
      { first: 30, steps: 2 },
      { first: 58, steps: 2 },
    ]);
    for (const [from, to] of [
      [2, 30],
      [32, 58],
    ] as const)
      expect(sameCodes(await result.read(from, to, "codes"), codes.subarray(from * EACH, to * EACH))).toBe(true);
    await expect(result.read(28, 33, "codes")).rejects.toThrow(/step 30 is lost/);
    expect((await result.chunkAt(20, "labels"))!.first).toBe(20);
  });

  it("is known to have been longer where its end is cut off, with the list of its last chunks full or empty", async () => {
    for (let count = 34; count < 70; count += 2) {
      const { file } = await made(count, described(track, labels));
      const reader = await openStore(new MemoryFile(file.bytes.slice(0, 17000)));
      expect(reader.faults).toEqual([`the file ends ${file.size - 17000} bytes before what was committed`]);
      const first = reader.steps("codes");
      expect(await reader.check("codes")).toEqual([{ first, steps: count - first }]);
      expect(await reader.check("labels")).toEqual([]);
    }
  });

  it("is lost to an end that is not known where an older writer did not say it, and only there", async () => {
    const { file } = await damaged();
    const unsaid = (bytes: Uint8Array) => {
      for (const at of SUPERBLOCK_AT) {
        const block = bytes.subarray(at, at + SUPERBLOCK_BYTES);
        block.fill(0, 56, 88);
        new DataView(block.buffer, block.byteOffset).setUint32(508, crc32c(block.subarray(0, 508)), true);
      }
      return new MemoryFile(bytes);
    };
    const old = await openStore(unsaid(file.bytes.slice()));
    expect([old.faults, await old.check("codes"), await old.check("labels")]).toEqual([[], [], []]);
    // The list of the last chunks, which begins behind the 16th, has the end of both; with the list of 16 full, neither.
    const { file: full } = await made(64, described(track, labels));
    const cut = await openStore(unsaid(full.bytes.slice(0, 17000)));
    const first = cut.steps("codes");
    expect(await cut.check("codes")).toEqual([{ first, steps: null }]);
    expect(await cut.check("labels")).toEqual([{ first: 0, steps: null }]);
    // An index page that is damaged loses nothing: all records are there.
    const paged = full.bytes.slice();
    const { pageAt } = decodeSuperblock(paged.subarray(SUPERBLOCK_AT[0], SUPERBLOCK_BYTES)) as Superblock;
    paged[pageAt + 70]! ^= 1;
    const scanned = await openStore(unsaid(paged));
    expect(scanned.faults).toEqual(["the index is damaged"]);
    expect([await scanned.check("codes"), await scanned.check("labels")]).toEqual([[], []]);
  });

  it("says so where both superblocks are gone", async () => {
    const { file } = await damaged();
    file.bytes.fill(0, 0, 8192);
    const reader = await openStore(file);
    expect([reader.faults, reader.steps("codes")]).toEqual([["both superblocks are gone"], 60]);
  });
});

describe("what a store refuses", () => {
  const wrong: [string, unknown, RegExp][] = [
    ["no tracks", described(), /1 to 16 tracks/],
    ["two tracks of one name", described(track, track), /two tracks are called "codes"/],
    [
      "a codebook of one code",
      described(codesTrack({ codebooks: [{ kind: "vq", size: 1, dim: 1 }] })),
      /size must be 2/,
    ],
    [
      "levels that do not fit",
      described(codesTrack({ codebooks: [{ kind: "fsq", size: 12, levels: [3, 5], dim: 2 }] })),
      /levels must multiply/,
    ],
    ["a grid of nothing", described(codesTrack({ grid: [0, 4] })), /grid must be/],
    ["a hash that is none", described(codesTrack({ quantiser: "abc" })), /quantiser must be 64 hex/],
    ["a file's hash that is none", { ...described(track), sourceHash: "abc" }, /sourceHash must be 64 hex/],
    ["a rate of nothing", { ...described(track), fps: [25, 0] }, /fps must be/],
    ["a chunk without end", described(codesTrack({ grid: [2048, 2048], chunk: 100 })), /more than 2\^24 codes/],
  ];
  it.each(wrong)("%s", async (_name, description, message) => {
    const created = createStore(new MemoryFile(), description as StoreDescription);
    await expect(created).rejects.toMatchObject({ code: "bad-input", message: expect.stringMatching(message) });
  });

  it("parts of steps, codes beyond the codebook, steps that are there, a closed writer, a file that is not empty", async () => {
    const { file, writer } = await made(10, described(track, labels));
    await expect(writer.append(new Uint8Array(16))).rejects.toThrow(/16 codes are no whole steps of 15/);
    await expect(writer.append(new Uint8Array(15).fill(13))).rejects.toThrow(
      /code 13 of step 0 is not in its codebook/,
    );
    await expect(writer.append(new Uint8Array(15), "labels")).rejects.toThrow(/appendBytes is for tracks of bytes/);
    await writer.appendBytes("labels", 5, 2, text("x"));
    await expect(writer.appendBytes("labels", 6, 1, text("x"))).rejects.toThrow(/has 7 steps; 1 steps from 6 cannot/);
    await expect(writer.appendBytes("codes", 6, 1, text("x"))).rejects.toThrow(/track "codes" holds codes/);
    const reader = await openStore(file);
    for (const [from, to] of [
      [-1, 3],
      [0, 11],
      [4, 3],
      [0.5, 2],
    ] as const) {
      await expect(reader.read(from, to)).rejects.toMatchObject({ code: "bad-input" });
    }
    await expect(createStore(file, described(track))).rejects.toThrow(/is not empty/);
    await writer.close();
    await writer.close();
    await expect(writer.append(new Uint8Array(15))).rejects.toMatchObject({ code: "closed" });
    await expect(reader.read(0, 2)).rejects.toMatchObject({ code: "closed" });
  });

  it("a later version", async () => {
    const { file } = await made(4);
    const { crc32c } = await import("../../src/store/crc32c.ts");
    const bytes = file.bytes.slice();
    for (const at of [0, 4096]) {
      const data = new DataView(bytes.buffer, at, 512);
      data.setUint32(8, 2, true);
      data.setUint32(508, crc32c(bytes.subarray(at, at + 508)), true);
    }
    await expect(openStore(new MemoryFile(bytes, "new.kvc"))).rejects.toMatchObject({
      code: "unsupported",
      message: "new.kvc is a store of version 2; update Kinema",
    });
  });
});
