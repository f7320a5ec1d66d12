// What a crash, a lost sector or a flipped bit may cost: never a chunk that it did not touch, never a wrong code.
import { beforeAll, describe, expect, it } from "vitest";
import { createStore, MemoryFile, openStore, resumeStore } from "../../src/store/index.ts";
import { RECORDS_AT, SUPERBLOCK_AT, SUPERBLOCK_BYTES } from "../../src/store/layout.ts";
import { codesTrack, described, madeCodes, RecordedFile, randomInts, readable, sameCodes } from "./made.ts";

const CHUNK = 2;
const EACH = 15;
const track = codesTrack();
/** One chunk more than a page lists, so that the last two commits hold chunks, a page and a tail. */
const STEPS = CHUNK * 17;
const all = madeCodes(track, STEPS + 20, 1);
const SECTOR = 512;
/** Hundreds of thousands of reads. */
const LONG = 120_000;

const recorded = new RecordedFile();
let whole: Uint8Array;
/** Where each chunk's record is: offset and end. */
let chunks: { offset: number; end: number }[];
/** Where the last two commits begin. */
let since: number;

beforeAll(async () => {
  const writer = await createStore(recorded, described(track));
  for (let step = 0; step < STEPS - 2 * CHUNK; step += CHUNK) await writer.append(steps(step, step + CHUNK));
  since = recorded.size;
  for (let step = STEPS - 2 * CHUNK; step < STEPS; step += CHUNK) await writer.append(steps(step, step + CHUNK));
  await writer.commit();
  whole = recorded.bytes.slice();
  chunks = [];
  for await (const { offset, length } of (await openStore(recorded)).entries()) {
    chunks.push({ offset, end: offset + 64 + length });
  }
});

const steps = (from: number, to: number) => all.subarray(from * EACH, to * EACH);
const look = (bytes: Uint8Array) => readable(new MemoryFile(bytes), all, EACH, CHUNK);
const allGood = () => chunks.map(() => "ok");

/** A store goes on after a crash: what can be read stays, what is appended follows, and all of it is there when reopened. */
async function goesOn(bytes: Uint8Array): Promise<void> {
  const file = new MemoryFile(bytes);
  const writer = await resumeStore(file);
  const from = writer.steps();
  await writer.append(all.subarray(from * EACH, (from + 2 * CHUNK) * EACH));
  await writer.commit();
  expect(await readable(file, all, EACH, CHUNK)).toEqual(Array(from / CHUNK + 2).fill("ok"));
}

describe("a crash while a commit is under way", () => {
  /** What readable() must say: all that was committed before the crash, and at most what was under way. */
  const check = async (bytes: Uint8Array, epoch: number, label: string) => {
    // Each commit is two epochs: records, then superblock. The first two made the file.
    const committed = Math.floor((epoch - 2) / 2);
    const seen = await look(bytes);
    expect(new Set(seen), label).toEqual(new Set(["ok"]));
    expect(seen.length, label).toBeGreaterThanOrEqual(committed);
    expect(seen.length, label).toBeLessThanOrEqual(committed + 1);
  };

  it(
    "leaves every committed chunk, whatever byte the write came to",
    async () => {
      expect(recorded.epochs.length).toBe(2 + 2 * chunks.length);
      for (let epoch = recorded.epochs.length - 4; epoch < recorded.epochs.length; epoch++) {
        const { before, writes } = recorded.epochs[epoch]!;
        expect(writes.length).toBe(1);
        const { at, bytes } = writes[0]!;
        for (let done = 0; done <= bytes.length; done++) {
          const size = Math.max(before.length, at + done);
          const prefix = sized(before, size);
          prefix.set(bytes.subarray(0, done), at);
          await check(prefix, epoch, `epoch ${epoch}, ${done} bytes, the file ends`);
          const longer = sized(prefix, Math.max(before.length, at + bytes.length));
          await check(longer, epoch, `epoch ${epoch}, ${done} bytes, the rest is zero`);
          if (done % 64 === 1) await goesOn(longer);
        }
      }
    },
    LONG,
  );

  it(
    "leaves every committed chunk, whichever sectors are old, new or zero",
    async () => {
      const random = randomInts(5);
      for (let epoch = recorded.epochs.length - 4; epoch < recorded.epochs.length; epoch++) {
        const { before, writes } = recorded.epochs[epoch]!;
        const { at, bytes } = writes[0]!;
        for (let trial = 0; trial < 60; trial++) {
          const old = sized(before, Math.max(before.length, at + bytes.length));
          const state = old.slice();
          for (let sector = Math.floor(at / SECTOR) * SECTOR; sector < at + bytes.length; sector += SECTOR) {
            const kind = random(3); // a sector that holds committed bytes as well is never lost whole: it is old or new there
            const [from, to] = [Math.max(sector, at), Math.min(sector + SECTOR, at + bytes.length)];
            if (kind === 1) state.set(bytes.subarray(from - at, to - at), from);
            if (kind === 2) state.fill(0, from, to);
          }
          await check(state, epoch, `epoch ${epoch}, trial ${trial}`);
          if (trial % 16 === 0) await goesOn(state);
        }
      }
    },
    LONG,
  );

  it(
    "never takes a remnant of an earlier write for its own",
    async () => {
      // Two chunks were written and not committed; the file was cut, which a crash undid, and a chunk of the same length
      // was written over the first. The second still stands behind it and is whole, but its chain is another's.
      const file = new MemoryFile();
      const writer = await createStore(file, described(track), { codec: "packed" });
      await writer.append(steps(0, 2));
      const committed = file.bytes.slice();
      await writer.append(steps(2, 6));
      const longer = file.bytes.slice();
      const again = new MemoryFile(committed);
      const second = await resumeStore(again, { codec: "packed" });
      await second.append(steps(10, 12));
      const state = longer.slice();
      state.set(again.bytes.subarray(RECORDS_AT), RECORDS_AT);
      for (const at of SUPERBLOCK_AT) state.set(committed.subarray(at, at + SUPERBLOCK_BYTES), at);
      const reader = await openStore(new MemoryFile(state));
      expect(reader.steps()).toBe(4);
      expect(sameCodes(await reader.read(2, 4), steps(10, 12))).toBe(true);
    },
    LONG,
  );
});

const sized = (bytes: Uint8Array, size: number): Uint8Array => {
  const result = new Uint8Array(size);
  result.set(bytes.subarray(0, size));
  return result;
};

describe("damage to what was committed", () => {
  /** What must be said of chunks when bytes [from, to) are not what they were: those that it misses are read. */
  const expected = (from: number, to: number) =>
    chunks.map(({ offset, end }) => (to <= offset || from >= end ? "ok" : "x"));
  const check = async (bytes: Uint8Array, from: number, to: number, label: string) => {
    const seen = await look(bytes);
    const want = expected(from, to);
    want.forEach((state, i) => {
      // A chunk at the end of the file may be missing instead of refused; one that was touched may still be whole, when a
      // zero was a zero before.
      if (state === "ok") expect(seen[i], `${label}, chunk ${i}`).toBe("ok");
      else expect(["ok", "bad-file", "truncated", undefined], `${label}, chunk ${i}`).toContain(seen[i]);
    });
  };

  it(
    "spares every chunk in front of a cut, at every byte of the last two commits",
    async () => {
      for (let size = since; size < whole.length; size++) {
        await check(whole.subarray(0, size), size, whole.length, `cut at ${size}`);
        if (size % 97 === 0) await goesOn(whole.subarray(0, size));
      }
    },
    LONG,
  );

  it(
    "spares every chunk that zeros miss, from every byte of the last two commits on",
    async () => {
      for (let from = since; from < whole.length; from++) {
        for (const to of [from + 1, whole.length]) await zeroed(from, to);
      }
      for (let sector = RECORDS_AT; sector < whole.length; sector += SECTOR) {
        await zeroed(sector, Math.min(sector + SECTOR, whole.length));
      }
    },
    LONG,
  );

  const zeroed = async (from: number, to: number) => {
    const bytes = whole.slice();
    bytes.fill(0, from, to);
    await check(bytes, from, to, `zeros from ${from} to ${to}`);
  };

  it(
    "costs one chunk where a bit of its header is flipped",
    async () => {
      for (const index of [5, chunks.length - 1]) {
        for (let bit = 0; bit < 64 * 8; bit++) {
          const bytes = flipped(8 * chunks[index]!.offset + bit);
          expect(await look(bytes), `chunk ${index}, bit ${bit}`).toEqual(allGood().with(index, "bad-file"));
        }
      }
      await goesOn2(flipped(8 * chunks[5]!.offset + 77));
    },
    LONG,
  );

  it(
    "costs nothing where a bit of a superblock is flipped",
    async () => {
      for (const at of SUPERBLOCK_AT) {
        for (let bit = 0; bit < SUPERBLOCK_BYTES * 8; bit++) {
          const reader = await openStore(new MemoryFile(flipped(8 * at + bit)));
          expect([reader.steps(), reader.faults.length], `superblock at ${at}, bit ${bit}`).toEqual([STEPS, 1]);
          if (bit % 61 === 0) expect(await look(flipped(8 * at + bit))).toEqual(allGood());
        }
      }
    },
    LONG,
  );

  it(
    "costs nothing where both superblocks are lost, or the first description, or index pages",
    async () => {
      const none = whole.slice();
      none.fill(0, 0, RECORDS_AT);
      expect(await look(none)).toEqual(allGood());
      await goesOn(none);
      for (let bit = 0; bit < 64 * 8; bit++) expect(await look(flipped(8 * RECORDS_AT + bit))).toEqual(allGood());
      const page = Math.ceil(chunks[15]!.end / 8) * 8; // it follows the 16th chunk
      for (let at = page; at < chunks[16]!.offset; at += 3) {
        expect(await look(flipped(8 * at + (at % 8))), `page, byte ${at}`).toEqual(allGood());
      }
    },
    LONG,
  );

  it("says what is lost where a header and the index are, in the middle and at the end of what is read", async () => {
    const bytes = flipped(8 * (chunks[5]!.offset + 9));
    bytes.fill(0, 0, RECORDS_AT);
    const reader = await openStore(new MemoryFile(bytes));
    const read = async (from: number, to?: number) => {
      const seen: number[] = [];
      for await (const chunk of reader.chunks(from, to)) seen.push(chunk.first);
      return seen;
    };
    const lost = { code: "bad-file", message: "memory: step 10 is lost; the file is damaged (kinema info)" };
    for (const [from, to] of [[0], [7, 20], [10, 11], [8, 11]] as const)
      await expect(read(from, to), `${from} to ${to}`).rejects.toMatchObject(lost);
    expect(await read(0, 10)).toEqual([0, 2, 4, 6, 8]);
    expect((await read(12)).at(-1)).toBe(STEPS - CHUNK);
  });

  it(
    "goes on behind damage, and reads what is on both sides of it",
    async () => {
      await goesOn2(flipped(8 * (chunks[10]!.offset + 70)));
    },
    LONG,
  );

  const flipped = (bit: number): Uint8Array => {
    const bytes = whole.slice();
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    return bytes;
  };

  /** One chunk in the middle is damaged; a store that goes on has all others and what is new. */
  async function goesOn2(bytes: Uint8Array): Promise<void> {
    const lost = (await look(bytes)).indexOf("bad-file");
    const file = new MemoryFile(bytes);
    const writer = await resumeStore(file);
    expect(writer.steps()).toBe(STEPS);
    await writer.append(steps(STEPS, STEPS + 20));
    await writer.commit();
    const seen = await readable(file, all, EACH, CHUNK);
    expect(seen).toEqual(
      Array(STEPS / CHUNK + 10)
        .fill("ok")
        .with(lost, "bad-file"),
    );
  }
});

describe("bytes that are no store", () => {
  it(
    "are refused in a line",
    async () => {
      const random = randomInts(9);
      for (const bytes of [
        new Uint8Array(0),
        new Uint8Array(100),
        new Uint8Array(20000),
        Uint8Array.from({ length: 30000 }, () => random(256)),
      ]) {
        await expect(openStore(new MemoryFile(bytes, "x.kvc"))).rejects.toMatchObject({
          code: "bad-file",
          message: expect.stringMatching(/^x\.kvc is not a store, or its description is lost; give a \.kvc file$/),
        });
      }
    },
    LONG,
  );

  it(
    "never end in an error that is not typed, whatever bytes are changed",
    async () => {
      const random = randomInts(11);
      for (let trial = 0; trial < 400; trial++) {
        const bytes = whole.slice();
        for (let k = random(40); k >= 0; k--) bytes[random(bytes.length)] = random(256);
        for (let k = random(3); k > 0; k--) bytes.copyWithin(random(bytes.length), random(bytes.length), bytes.length);
        let seen: string[] = [];
        try {
          seen = await look(bytes);
        } catch (error) {
          expect(error).toMatchObject({ name: "KinemaError" });
        }
        expect(seen).not.toContain("WRONG");
      }
    },
    LONG,
  );
});
