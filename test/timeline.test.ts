// Stores of codes, watched: what is skipped, what a second is, where it changes, what looks alike. Mostly synthetic weights; no pixel anywhere.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { formatTime, parseTime } from "../src/cli/time.ts";
import { CodesClassifier, type CodesStep, embeddingOf, openMotionCodes } from "../src/codes_classifier.ts";
import { runCodes } from "../src/compressor.ts";
import { softmax } from "../src/labels/top.ts";
import { findSimilar, MomentWriter, withMomentTracks } from "../src/moments.ts";
import { createSession } from "../src/session.ts";
import { cutRange, cutStore } from "../src/store/cut.ts";
import {
  type Codes,
  type CodesTrack,
  createStore,
  MemoryFile,
  openStore,
  type StoreDescription,
} from "../src/store/index.ts";
import { ChangeDetector, type LostTime, type Second, type WatchOptions, watch } from "../src/timeline.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import type { MotionCodesShape } from "../src/weights/types.ts";
import { useGpu } from "./gpu.ts";
import { motionCodesFile } from "./motion_codes_file.ts";
import { codesTrack, described, madeCodes, randomInts } from "./store/made.ts";

const fixture = useGpu();

const quantiser = { kind: "vq", codes: 13, dim: 4, codebooks: 2 } as const;
const small = { widths: [8, 12, 16], blocks: [1, 1, 2], classes: 5, quantiser, fine: null };
const track = codesTrack({
  stride: [2, 8, 8],
  grid: [4, 6],
  codebooks: [0, 1].map(() => ({ kind: "vq", size: 13, dim: 4 })),
  chunk: 13,
});
const EACH = 4 * 6 * 2;

const weights = (shape: MotionCodesShape, metadata = {}) =>
  openCheckpoint(fromBytes(motionCodesFile(shape, { quantiser: track.quantiser, ...metadata }), "small.safetensors"));

/** Logits of every step of a clip of codes as a store has them. */
async function clip(shape: MotionCodesShape, codes: Codes): Promise<Float32Array[]> {
  const steps = codes.length / EACH;
  const { graph, weights: tensors } = openMotionCodes(await weights(shape), { steps, rows: 4, columns: 6 });
  using session = await createSession(fixture.gpu, graph, tensors);
  const { logits } = await session.run({ codes: runCodes(codes, 2, 24) });
  return Array.from({ length: steps }, (_, i) => logits!.slice(i * 5, (i + 1) * 5));
}

async function streamed(shape: MotionCodesShape, codes: Codes, steps: number): Promise<CodesStep[]> {
  using one = await CodesClassifier.create(fixture.gpu, await weights(shape), track, "film.kvc", { steps });
  const seen: CodesStep[] = [];
  for (let at = 0; at < codes.length; at += EACH) seen.push(...(await one.push(codes.subarray(at, at + EACH))));
  return [...seen, ...(await one.flush())];
}

/** Pictures, each shown for so many steps. */
function slides(...lengths: number[]): Codes {
  const pictures = madeCodes(track, lengths.length, 3, 0.9);
  const shown = lengths.flatMap((length, i) =>
    Array.from({ length }, () => pictures.subarray(i * EACH, (i + 1) * EACH)),
  );
  const codes = new Uint8Array(shown.length * EACH);
  for (const [i, picture] of shown.entries()) codes.set(picture, i * EACH);
  return codes;
}

describe("steps that are skipped", () => {
  // Four blocks hear four steps back: the sixth step of a picture is the first whose result must be that of the one before.
  const lengths = [9, 1, 6, 5, 12, 2];
  it.each([
    ["s3d", 1, 4 + 1 + 7],
    ["tsm", 1, 4 + 1 + 7],
    ["s3d", 3, null],
    ["s3d", 8, null],
  ] as const)("change nothing: %s, %i steps a run", async (backbone, steps, skipped) => {
    const codes = slides(...lengths);
    const want = await clip({ ...small, backbone }, codes);
    const got = await streamed({ ...small, backbone }, codes, steps);
    expect(got.map(({ logits }) => logits)).toEqual(want);
    const count = got.filter((step) => step.skipped).length;
    if (skipped !== null) expect(count).toBe(skipped);
    // Runs of several steps skip only what the beginning of a run meets.
    else expect([count > 0, count < 12]).toEqual([true, true]);
    expect(got.filter(({ changed }) => changed > 0).length).toBe(lengths.length - 1);
  });

  it("would change something one step earlier: the fifth step of a picture is not as the fourth", async () => {
    const want = await clip({ ...small, backbone: "s3d" }, slides(3, 7));
    expect(want[7]).not.toEqual(want[6]);
    expect(want[9]).toEqual(want[8]);
  });

  it("a stream that was flushed begins anew", async () => {
    const codes = slides(9);
    using one = await CodesClassifier.create(
      fixture.gpu,
      await weights({ ...small, backbone: "s3d" }),
      track,
      "film.kvc",
      { steps: 4 },
    );
    const pass = async () => {
      const seen: CodesStep[] = [];
      for (let at = 0; at < codes.length; at += EACH) seen.push(...(await one.push(codes.subarray(at, at + EACH))));
      return [...seen, ...(await one.flush())];
    };
    expect(await pass()).toEqual(await pass());
  });
});

describe("steps that are pushed without waiting, from memory that is used again", () => {
  it("are those that are pushed one after another", async () => {
    const shape = { ...small, backbone: "s3d" } as const;
    const codes = slides(9, 1, 10);
    const want = await streamed(shape, codes, 4);
    using one = await CodesClassifier.create(fixture.gpu, await weights(shape), track, "film.kvc", { steps: 4 });
    const step = new Uint8Array(EACH);
    const pass = () => {
      const done: Promise<CodesStep[]>[] = [];
      for (let at = 0; at < codes.length; at += EACH) {
        step.set(codes.subarray(at, at + EACH));
        done.push(one.push(step));
      }
      return done;
    };
    const passes = [...pass(), one.flush(), ...pass(), one.flush()];
    pass();
    one.reset();
    passes.push(...pass(), one.flush());
    expect((await Promise.all(passes)).flat()).toEqual([...want, ...want, ...want]);
    expect(want.some(({ skipped }) => skipped)).toBe(true);
    await expect(one.push(step.subarray(1))).rejects.toMatchObject({ code: "bad-input" });
  });
});

async function stored(codes: Codes, of: CodesTrack = track): Promise<MemoryFile> {
  const file = new MemoryFile();
  const writer = await createStore(file, described(of));
  await writer.append(codes);
  await writer.commit();
  return file;
}

async function watched(codes: Codes, damage: readonly number[] = [], options?: WatchOptions): Promise<Second[]> {
  const file = await stored(codes);
  for (const step of damage) file.bytes[(await (await openStore(file)).chunkAt(step))!.offset + 70]! ^= 1;
  const reader = await openStore(file);
  using one = await CodesClassifier.create(
    fixture.gpu,
    await weights({ ...small, backbone: "s3d" }),
    track,
    "film.kvc",
  );
  const seconds: Second[] = [];
  for await (const second of watch(reader, track, one, options)) seconds.push(second);
  return seconds;
}

describe("a store, watched", () => {
  it("gives the graph's logits at every second step of 25 frames a second, gathered by seconds", async () => {
    const codes = madeCodes(track, 61, 5); // 122 frames: 31 steps are read
    const read = new Uint8Array(31 * EACH);
    for (let i = 0; i < 31; i++) read.set(codes.subarray(2 * i * EACH, (2 * i + 1) * EACH), i * EACH);
    const want = await clip({ ...small, backbone: "s3d" }, read);
    const seconds = await watched(codes);
    const steps = seconds.flatMap((second) => second.steps);
    expect(steps.map(({ logits }) => logits)).toEqual(want);
    expect(steps.map(({ time }) => time)).toEqual(want.map((_, i) => (4 * i) / 25));
    // It ends with the codes.
    expect(seconds.map(({ number, from, to }) => [number, from, to])).toEqual(
      [1, 2, 3, 4, 4.88].map((to, n) => [n, n, to]),
    );
    expect(seconds.map((second) => second.steps.length)).toEqual([7, 6, 6, 6, 6]);
    for (const second of seconds) {
      // The first step of the stream has no past and is left out.
      const judged = second.number === 0 ? second.steps.slice(1) : second.steps;
      const rows = judged.map(({ logits }) => softmax(logits));
      const mean = rows[0]!.map((_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length);
      expect(second.score).toBeCloseTo(Math.max(...mean), 12);
      expect(mean[second.index]).toBeCloseTo(second.score, 12);
      expect(second.label).toBe(`class ${second.index}`);
      expect(second.embedding.reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(1, 5);
    }
    const [a, b] = [seconds[1]!, seconds[2]!];
    expect(b.distance).toBeCloseTo(1 - a.embedding.reduce((sum, value, i) => sum + value * b.embedding[i]!, 0), 6);
    expect(seconds[0]!.distance).toBeNull();
    // Codes were made to stay with 0.7 of chance; every second step is looked at.
    expect(a.changed).toBeGreaterThan(0.3);
    expect(a.changed).toBeLessThan(0.7);
  });

  it("joins codes that are twice as fine, also across chunks", async () => {
    const fine = { ...small, backbone: "s3d", fine: 4 } as const;
    const of = { ...track, stride: [1, 4, 4], grid: [8, 12], chunk: 5 } as const;
    const each = 8 * 12 * 2;
    const codes = madeCodes(of, 38, 9);
    const every = 4; // of 25 steps a second pairs are read that begin every fourth
    const pairs = new Uint8Array(10 * 2 * each);
    for (let i = 0; i < 10; i++) pairs.set(codes.subarray(i * every * each, (i * every + 2) * each), i * 2 * each);
    const { graph, weights: tensors } = openMotionCodes(await weights(fine), { steps: 10, rows: 8, columns: 12 });
    using session = await createSession(fixture.gpu, graph, tensors);
    const { logits } = await session.run({ codes: runCodes(pairs, 2, 96) });
    const reader = await openStore(await stored(codes, of));
    using one = await CodesClassifier.create(fixture.gpu, await weights(fine), of, "film.kvc", { steps: 3 });
    const seen: Second[] = [];
    for await (const second of watch(reader, of, one)) seen.push(second);
    const got = seen.flatMap(({ steps }) => steps.flatMap((step) => [...step.logits]));
    expect(got).toEqual([...logits!]);
  });

  it.each(["its consumer leaves", "it is aborted", "reading fails"])("leaves nothing behind where %s", async (end) => {
    const codes = madeCodes(track, 61, 5);
    const file = await stored(codes);
    const reader = await openStore(file);
    using one = await CodesClassifier.create(
      fixture.gpu,
      await weights({ ...small, backbone: "s3d" }),
      track,
      "film.kvc",
      { steps: 5 }, // 13 steps of a chunk, of which every second is read: some wait for a run
    );
    const gone = new AbortController();
    const { offset } = (await reader.chunkAt(39))!;
    const failing = await openStore({
      ...{ name: "film.kvc", size: file.size },
      read: async (at, length) => {
        if (end === "reading fails" && at === offset) throw new Error("the disk is gone");
        return file.read(at, length);
      },
    });
    const first = async () => {
      for await (const second of watch(failing, track, one, { signal: gone.signal })) {
        if (end === "its consumer leaves" && second.number === 1) return;
        if (end === "it is aborted" && second.number === 1) gone.abort();
      }
    };
    const ended = first();
    if (end === "its consumer leaves") await ended;
    else await expect(ended).rejects.toThrow(end === "it is aborted" ? /abort/i : /the disk is gone/);
    const again: Second[] = [];
    for await (const second of watch(reader, track, one)) again.push(second);
    expect(again).toEqual(await watched(codes));
  });

  /** All steps of a part of the codes as a stream of their own: what a network sees behind lost ones. */
  const alone = async (codes: Codes, from: number, to: number): Promise<Float32Array[]> => {
    const first = from + (from % 2); // every second step is looked at
    const read = [...Array(Math.ceil((to - first) / 2)).keys()].map((i) => first + 2 * i);
    const part = new Uint8Array(read.length * EACH);
    for (const [i, step] of read.entries()) part.set(codes.subarray(step * EACH, (step + 1) * EACH), i * EACH);
    return clip({ ...small, backbone: "s3d" }, part);
  };

  it("goes on behind damaged chunks as at a beginning, and says which times are lost", async () => {
    const codes = madeCodes(track, 130, 5); // ten chunks of 1.04 s
    const lost: LostTime[] = [];
    const seconds = await watched(codes, [26, 39, 91], { onLost: (time) => lost.push(time) });
    expect(lost).toEqual([
      { from: 2.08, to: 4.16 },
      { from: 7.28, to: 8.32 },
    ]);
    const steps = seconds.flatMap((second) => second.steps);
    const want = [...(await alone(codes, 0, 26)), ...(await alone(codes, 52, 91)), ...(await alone(codes, 104, 130))];
    expect(steps.map(({ logits }) => logits)).toEqual(want);
    // Of second 2 two frames are left, and of its steps none that is looked at.
    expect(seconds.map(({ number }) => number)).toEqual([0, 1, 4, 5, 6, 7, 8, 9, 10]);
    // Behind lost seconds nothing is compared with what was before them, and the first step, which has no past, is not judged.
    expect(seconds.filter(({ distance }) => distance === null).map(({ number }) => number)).toEqual([0, 4, 8]);
    for (const { steps: of, score, index } of seconds.filter(({ number }) => number === 4 || number === 5)) {
      const rows = (of[0]!.time === 4.16 ? of.slice(1) : of).map(({ logits }) => softmax(logits));
      expect(score).toBeCloseTo(rows.reduce((sum, row) => sum + row[index]!, 0) / rows.length, 12);
    }
  });

  it("says what is lost at its beginning and its end, and where a second has both", async () => {
    const codes = madeCodes(track, 39, 5);
    const lost: LostTime[] = [];
    const seconds = await watched(codes, [0, 26], { onLost: (time) => lost.push(time) });
    expect(lost).toEqual([
      { from: 0, to: 1.04 },
      { from: 2.08, to: 3.12 },
    ]);
    expect(seconds.map(({ number, distance }) => [number, distance])).toEqual([[1, null]]);
    // A chunk of half a second, lost within one: the second is made of what is on both sides.
    const of = { ...track, chunk: 4 };
    const file = await stored(madeCodes(of, 39, 5), of);
    file.bytes[(await (await openStore(file)).chunkAt(16))!.offset + 70]! ^= 1;
    using one = await CodesClassifier.create(fixture.gpu, await weights({ ...small, backbone: "s3d" }), of, "film.kvc");
    const seen: Second[] = [];
    for await (const each of watch(await openStore(file), of, one)) seen.push(each);
    expect(seen.map(({ number, steps, distance }) => [number, steps.length, distance === null])).toEqual([
      [0, 7, true],
      [1, 4, false],
      [2, 6, false],
      [3, 1, false],
    ]);
  });

  it("leaves out a step of two finer ones of which one is lost", async () => {
    const fine = { ...small, backbone: "s3d", fine: 4 } as const;
    const of = { ...track, stride: [1, 4, 4], grid: [8, 12], chunk: 5 } as const;
    const file = await stored(madeCodes(of, 38, 9), of);
    file.bytes[(await (await openStore(file)).chunkAt(5))!.offset + 70]! ^= 1; // steps 5 to 9: pairs begin every fourth
    using one = await CodesClassifier.create(fixture.gpu, await weights(fine), of, "film.kvc", { steps: 3 });
    const times: number[] = [];
    for await (const { steps } of watch(await openStore(file), of, one)) times.push(...steps.map(({ time }) => time));
    expect(times.map((time) => Math.round(time * 25))).toEqual([0, 12, 16, 20, 24, 28, 32, 36]);
  });

  it("refuses weights for other codes, and files of something else", async () => {
    const create = async (metadata: Record<string, string>) =>
      CodesClassifier.create(fixture.gpu, await weights({ ...small, backbone: "s3d" }, metadata), track, "film.kvc");
    await expect(create({ quantiser: "f".repeat(64), compressor: "kinema-compressor-30" })).rejects.toMatchObject({
      code: "weights-mismatch",
      message: expect.stringMatching(
        /^film\.kvc was written by made with the quantiser 0123456789ab, .*kinema-compressor-30/,
      ),
    });
    await expect(create({ network: "{" })).rejects.toMatchObject({ code: "bad-file" });
    await expect(create({ network: '{"widths":[8,12],"blocks":[1,1,2],"parts":{}}' })).rejects.toMatchObject({
      code: "bad-file",
    });
    await expect(create({ model: "other" })).rejects.toMatchObject({ code: "unsupported" });
  });
});

describe("changes", () => {
  it("are distances far above those of the last minute, and none in a picture that flickers", () => {
    const random = randomInts(4);
    const detector = new ChangeDetector();
    const found: number[] = [];
    for (let second = 0; second < 300; second++) {
      const noise = random(1000) / 1e5; // up to 0.01
      const distance = second === 3 || second % 50 === 40 ? 0.5 : 0.05 + noise;
      if (detector.push(distance)) found.push(second);
    }
    // Second 3 comes before there is anything to hold it against.
    expect(found).toEqual([40, 90, 140, 190, 240, 290]);
  });

  /** A quarter of the bundled clip's picture, by its corner in codes, while the camera stands still; its steps one after the other, over and over. */
  interface Still {
    readonly steps: readonly [from: number, to: number];
    readonly corner: readonly [row: number, column: number];
  }
  const first: Still = { steps: [2, 14], corner: [0, 0] };
  const other: Still = { steps: [152, 158], corner: [16, 8] };

  /** The seconds of a video of stills, each of which is there for so many steps, as the network that ships sees them. */
  async function shown(...scenes: readonly (readonly [Still, number])[]): Promise<Second[]> {
    const read = (path: string) => new Uint8Array(readFileSync(new URL(`../${path}`, import.meta.url)));
    const clip = await openStore(fromBytes(read("bench/assets/motion.kvc"), "motion.kvc"));
    const side = 16;
    const of: CodesTrack = { ...(clip.description.tracks[0] as CodesTrack), grid: [side, side] };
    const codes = new Uint8Array(scenes.reduce((sum, [, steps]) => sum + steps * 2 * side * side, 0));
    let at = 0;
    for (const [{ steps, corner }, count] of scenes) {
      const still = await clip.read(...steps);
      for (let i = 0; i < count; i++)
        for (let row = 0; row < 2 * side; row++, at += side) {
          const plane = 2 * (i % (steps[1] - steps[0])) + Math.floor(row / side);
          const start = plane * 1024 + (corner[0] + (row % side)) * 32 + corner[1];
          codes.set(still.subarray(start, start + side), at);
        }
    }
    const checkpoint = await openCheckpoint(
      fromBytes(read("weights/kinema-motion-codes-192.safetensors"), "shipped.safetensors"),
    );
    using one = await CodesClassifier.create(fixture.gpu, checkpoint, of, "film.kvc");
    const seconds: Second[] = [];
    for await (const second of watch(await openStore(await stored(codes, of)), of, one)) seconds.push(second);
    return seconds;
  }

  it.each([
    ["in the middle of a second", 131, 10],
    ["in its last step", 136, 10],
    ["where one ends", 150, 12],
  ])("are one where a still picture gives way to another: %s", { timeout: 120_000 }, async (_, steps, at) => {
    const seconds = await shown([first, steps], [other, 40]);
    expect(seconds.filter(({ change }) => change).map(({ number }) => number)).toEqual([at]);
  });

  it("are two where a picture is there for a second", { timeout: 120_000 }, async () => {
    const seconds = await shown([first, 125], [other, 13], [first, 25]);
    expect(seconds.filter(({ change }) => change).map(({ number }) => number)).toEqual([10, 11]);
  });

  it("follow a video that becomes restless", () => {
    const detector = new ChangeDetector();
    const found: number[] = [];
    for (let second = 0; second < 200; second++) if (detector.push(second < 100 ? 0.02 : 0.4)) found.push(second);
    expect(found[0]).toBe(100);
    // Half a minute later it is what is usual.
    expect(found.at(-1)).toBeLessThan(140);
  });
});

describe("moments that look alike", () => {
  const WIDTH = 12;
  const random = randomInts(8);
  const vector = (): Float32Array<ArrayBuffer> => {
    const row = Float32Array.from({ length: WIDTH }, () => random(2001) / 1000 - 1);
    const length = Math.hypot(...row);
    return row.map((value) => value / length);
  };
  const second = (number: number): Second => ({
    ...{ number, from: number, to: number + 1, index: 0, label: `label ${number}`, score: 0.5, changed: 0.25 },
    ...{ distance: number === 0 ? null : 0.125, change: number % 7 === 0, embedding: vector(), steps: [] },
  });
  // A gap, as of a video of one frame in several seconds, and more than a chunk.
  const seconds = Array.from({ length: 60 }, (_, i) => second(i < 30 ? i : i + 5));

  async function indexed(fps: StoreDescription["fps"] = [25, 1]) {
    const file = new MemoryFile();
    const writer = await createStore(file, withMomentTracks({ ...described(track), fps }, WIDTH, "a network"));
    await writer.append(madeCodes(track, Math.ceil((65 * fps[0]) / fps[1] / 2), 2)); // 65 seconds
    const moments = new MomentWriter(writer);
    for (const one of seconds) await moments.add(one);
    await moments.flush();
    await writer.commit();
    return openStore(file);
  }

  it("are those that a search of all pairs finds, none within two seconds of a better one", async () => {
    const reader = await indexed();
    for (const asked of [0, 17, 29, 35, 64]) {
      const query = seconds.find(({ number }) => number === asked)!.embedding;
      const dot = (row: Float32Array) => row.reduce((sum, value, i) => sum + value * query[i]!, 0);
      const ranked = seconds.map((one) => ({ number: one.number, similarity: dot(one.embedding) }));
      ranked.sort((a, b) => b.similarity - a.similarity);
      const want: typeof ranked = [{ number: asked, similarity: 1 }];
      for (const one of ranked) if (want.every(({ number }) => Math.abs(number - one.number) > 2)) want.push(one);
      for (const count of [1, 4, 30]) {
        const got = await findSimilar(reader, asked + 0.4, count, "film.kvc");
        expect(got.map(({ number }) => number)).toEqual(want.slice(1, 1 + count).map(({ number }) => number));
        // Half precision.
        for (const [i, one] of got.entries()) expect(one.similarity).toBeCloseTo(want[i + 1]!.similarity, 2);
        expect(got[0]).toMatchObject({ label: `label ${got[0]!.number}`, score: 0.5, changed: 0.25 });
      }
    }
  });

  it("are those of the second that a reported time names, as it is and as it is printed", async () => {
    const reader = await indexed([30000, 1001]); // a second is 30 frames, 1.001 s
    const like = async (time: number) => (await findSimilar(reader, time, 3, "film.kvc")).map(({ number }) => number);
    for (const { number } of seconds) {
      const want = await like((number + 0.5) * 1.001);
      const from = number * ((30 * 1001) / 30000);
      for (const time of [from, number * (30 / (30000 / 1001)), parseTime(formatTime(from), "like")])
        expect(await like(time), `second ${number}, asked for at ${time}`).toEqual(want);
      expect(await like(number * 1.001 + 0.99)).toEqual(want);
    }
    // In front of a second that is not there the time is meant as it is.
    expect(await like(30 * 1.001 - 0.002)).toEqual(await like(29.5 * 1.001));
  });

  it("are found in a part that was cut out, at its own times", async () => {
    const reader = await indexed();
    const file = new MemoryFile();
    const writer = await createStore(file, reader.description);
    await cutStore(reader, writer, cutRange(reader, 14, 50));
    const part = await openStore(file);
    // The chunk of seconds 16 to 29 is whole in it, that of 35 to 50 begins in it.
    const [best] = await findSimilar(part, 4, 1, "part.kvc");
    expect(best!.label).toBe(`label ${best!.number + 14}`);
    expect(part.steps() * 2).toBe(36 * 25);
  });

  it("are refused where there are none", async () => {
    const plain = await openStore(await stored(madeCodes(track, 20, 1)));
    await expect(findSimilar(plain, 0, 1, "film.kvc")).rejects.toThrow(/film\.kvc has no embeddings; .*--index/);
    const reader = await indexed();
    for (const time of [31, 65.2])
      await expect(findSimilar(reader, time, 1, "film.kvc")).rejects.toThrow(/no embedding at/);
  });

  it("an embedding is a mean of standardised features, half of it what is there and half what moves", () => {
    const standard = { mean: Float32Array.of(1, 0, 0), scale: Float32Array.of(1, 2, 1), split: 2 };
    const got = embeddingOf([Float32Array.of(4, 1, -3), Float32Array.of(4, 3, -1)], standard);
    // (3, 2) and (3, 6): mean (3, 4), length 5; -2, length 2.
    expect([...got].map((value) => value * Math.SQRT2)).toEqual([
      expect.closeTo(0.6, 6),
      expect.closeTo(0.8, 6),
      expect.closeTo(-1, 6),
    ]);
  });
});
