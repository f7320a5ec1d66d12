// `kinema classify IN.kvc` and `kinema search`: what happens in stored codes, kept in the store and found again.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StoreClasses } from "../../src/cli/classify_store.ts";
import { openOutput } from "../../src/cli/compress.ts";
import { storeDescription } from "../../src/compressor.ts";
import { fileSource } from "../../src/host/file_source.ts";
import { nodeStoreFile } from "../../src/host/store_file.ts";
import { type CodesTrack, createStore, openStore } from "../../src/store/index.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import type { MotionCodesShape } from "../../src/weights/types.ts";
import { motionCodesFile } from "../motion_codes_file.ts";
import { madeCodes } from "../store/made.ts";
import { expectRefusal, kinema, ROOT } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const SECONDS = 21;
/** The last of them has 24 frames. */
const END = 20.96;
const LABELS = ["left", "right", "low", "up and away", "still"];
const [film, other] = [files.path("film.kvc"), files.path("other.kvc")];
const shape: MotionCodesShape = {
  ...{ backbone: "s3d", widths: [8, 12, 16], blocks: [1, 1, 1], classes: LABELS.length, fine: null },
  quantiser: { kind: "vq", codes: 256, dim: 8, codebooks: 2 },
};
let weights = "";
let codes = new Uint8Array();

beforeAll(async () => {
  const compressor = await openCheckpoint(await fileSource(`${ROOT}weights/kinema-compressor-192.safetensors`));
  const description = await storeDescription(compressor, { size: 64, fps: 25, source: "film.mp4" });
  const track = description.tracks[0] as CodesTrack;
  codes = madeCodes(track, Math.floor((SECONDS * 25) / 2), 6) as Uint8Array<ArrayBuffer>;
  const { quantiser } = track;
  for (const [path, tracks] of [
    [film, [track]],
    [other, [{ ...track, model: "another" }]],
  ] as const) {
    const writer = await createStore(await nodeStoreFile(path, { create: "new" }), { ...description, tracks });
    await writer.append(codes);
    await writer.close();
  }
  weights = files.write(
    "network.safetensors",
    motionCodesFile(shape, { quantiser, classes: JSON.stringify(LABELS), rate: "192", fps: "15.0" }),
  );
});

describe("kinema classify IN.kvc", () => {
  it("lists spans, draws a timeline and says how it was done", async () => {
    const { code, stdout, stderr } = await kinema("classify", film, "--weights", weights);
    expect([code, stderr]).toEqual([0, ""]);
    const label = `(${LABELS.join("|")})`;
    expect(stdout).toMatch(new RegExp(`^ +\\d+\\.\\d\\d - +20\\.96 s +\\d+\\.\\d %  ${label}$`, "m"));
    expect(stdout).toMatch(new RegExp(`^0:00:00\\.00 [a-z]{${SECONDS}} 0:00:20\\.96$`, "m"));
    expect(stdout).toMatch(new RegExp(`^ *\\d+\\.\\d %  [a-z] ${label}$`, "m"));
    expect(stdout).toMatch(/^(changes at 0:00:|no change stands out)/m);
    expect(stdout).toMatch(/^kinema-motion-codes-192 \(s3d\) on /m);
    expect(stdout).toMatch(/^131 steps of 0:00:20\.96, 0 of them skipped/m); // 262 steps of two frames, every second one
  });

  it("prints all as JSON, with --index keeps it, and leaves the codes as they are", async () => {
    const before = readFileSync(film);
    const { code, stdout, stderr } = await kinema("classify", film, "--weights", weights, "--json", "--index");
    expect([code, stderr]).toEqual([0, `${film} has embeddings now: kinema search ${film} --like TIME\n`]);
    const report: StoreClasses = JSON.parse(stdout);
    expect(report.steps).toEqual({ seen: 131, skipped: 0 });
    expect(report.seconds.map(({ from }) => from)).toEqual(Array.from({ length: SECONDS }, (_, i) => i));
    expect(report.seconds.every(({ label, index }) => LABELS[index] === label)).toBe(true);
    expect(report.changes).toEqual(report.seconds.filter(({ change }) => change).map(({ from }) => from));
    expect([report.spans.at(-1)!.to, report.seconds.at(-1)!.to, report.lost]).toEqual([END, END, []]);
    const reader = await openStore(await fileSource(film));
    expect(reader.description.tracks.map(({ name }) => name)).toEqual(["codes", "embedding", "timeline"]);
    expect(await reader.read(0, reader.steps("codes"), "codes")).toEqual(codes);
    expect([reader.steps("embedding"), reader.steps("timeline")]).toEqual([SECONDS, SECONDS]);
    expect(readFileSync(film).length - before.length).toBeLessThan(SECONDS * 600 + 4096);
    expect(existsSync(`${film}.lock`)).toBe(false);
    // Once more: the tracks are replaced, not doubled.
    expect((await kinema("classify", film, "--weights", weights, "--index")).code).toBe(0);
    const again = await openStore(await fileSource(film));
    expect(again.description).toEqual(reader.description);
    expect(again.size).toBe(reader.size);
    // `kinema compress` goes on with it: what was seen is no other codes.
    const [codesTrack] = reader.description.tracks;
    const writer = await openOutput(film, { ...reader.description, tracks: [codesTrack!] }, reader.steps("codes"));
    expect(writer.steps("codes")).toBe(reader.steps("codes"));
    await writer.close();
  });

  it("finds in the store what looks like a moment of it", async () => {
    const { code, stdout, stderr } = await kinema("search", film, "--like", "0:00:09", "--top", "3");
    expect([code, stderr]).toEqual([0, ""]);
    const [head, ...rows] = stdout.trimEnd().split("\n");
    expect(head).toMatch(/^ +time +similarity +what$/);
    expect(rows).toHaveLength(3);
    for (const row of rows) expect(row).toMatch(/^0:00:\d\d\.00 +-?\d\.\d{3} +\d+\.\d % {2}\w/);
    const found = JSON.parse((await kinema("search", film, "--like", "9.7", "--top", "3", "--json")).stdout);
    expect(found).toMatchObject({ file: film, like: 9.7 });
    expect(rows.map((row) => Number(row.slice(5, 7)))).toEqual(found.moments.map(({ from }: { from: number }) => from));
    const values = found.moments.map(({ similarity }: { similarity: number }) => similarity);
    expect(values).toEqual([...values].sort((a, b) => b - a));
    for (const { from } of found.moments) expect(Math.abs(from - 9)).toBeGreaterThan(2);
  });

  it("says so where the whole video is too near to that moment", async () => {
    const short = files.path("short.kvc");
    expect((await kinema("cut", film, short, "--to", "3")).code).toBe(0);
    expect((await kinema("classify", short, "--weights", weights, "--index")).code).toBe(0);
    const { code, stdout } = await kinema("search", short, "--like", "1");
    expect([code, stdout]).toEqual([0, `all of ${short} is within two seconds of 0:00:01.00; nothing else is there\n`]);
    const found = JSON.parse((await kinema("search", short, "--like", "1", "--json")).stdout);
    expect(found.moments).toEqual([]);
  }, 60_000);

  it("keeps a link and who may read it where it puts the embeddings in", { timeout: 60_000 }, async () => {
    mkdirSync(files.path("kept"));
    const [place, link] = [files.path("kept/own.kvc"), files.path("link.kvc")];
    copyFileSync(other, place);
    chmodSync(place, 0o600);
    symlinkSync(place, link);
    // Its writer may know it by its own name.
    writeFileSync(`${place}.lock`, `${process.pid}\n`);
    await expectRefusal(["classify", link, "--weights", weights, "--index"], /is being written by process \d+/);
    rmSync(`${place}.lock`);
    const { code, stderr } = await kinema("classify", link, "--weights", weights, "--index");
    expect([code, stderr]).toEqual([0, `${link} has embeddings now: kinema search ${link} --like TIME\n`]);
    expect(readlinkSync(link)).toBe(place);
    expect(statSync(place).mode & 0o777).toBe(0o600);
    expect((await openStore(await fileSource(place))).steps("embedding")).toBe(SECONDS);
    expect(readdirSync(files.path("kept"))).toEqual(["own.kvc"]);
  });

  it("tells of a damaged store what can be read of it, and which times are lost", async () => {
    const reader = await openStore(await fileSource(other));
    const bytes = new Uint8Array(readFileSync(other));
    for (const step of [52, 65, 200]) bytes[(await reader.chunkAt(step))!.offset + 80]! ^= 2;
    const damaged = files.write("damaged.kvc", bytes);
    const lost = [
      { from: 4.16, to: 6.24 }, // chunks of 13 steps
      { from: 15.6, to: 16.64 },
    ];
    const said =
      /damaged\.kvc: 0:00:04\.16 to 0:00:06\.24, 0:00:15\.60 to 0:00:16\.64 cannot be read; what is said is of/;
    const { code, stdout, stderr } = await kinema("classify", damaged, "--weights", weights);
    expect([code, stderr]).toEqual([0, expect.stringMatching(said)]);
    expect(stdout).toMatch(/^0:00:00\.00 [a-z]{5}-[a-z]{15} 0:00:20\.96$/m);
    expect(stdout).toMatch(/^- lost: 0:00:04\.16 to 0:00:06\.24$/m);
    const result = await kinema("classify", damaged, "--weights", weights, "--json", "--index");
    expect([result.code, result.stderr]).toEqual([0, expect.stringMatching(said)]);
    const report: StoreClasses = JSON.parse(result.stdout);
    expect(report.lost).toEqual(lost);
    expect(report.seconds.map(({ number }) => number)).toEqual([...Array(SECONDS).keys()].filter((n) => n !== 5));
    // A span ends where something is lost, and none reaches across it.
    for (const { from, to } of report.spans)
      for (const gap of lost) expect(to <= gap.from || from >= gap.to, `${from} to ${to}`).toBe(true);
    expect(report.spans.map(({ to }) => to)).toEqual(expect.arrayContaining(lost.map(({ from }) => from)));
    // The codes that are left are where they were, the lost ones are still lost, and there is no embedding of them.
    const indexed = await openStore(await fileSource(damaged));
    const each = codes.length / reader.steps();
    expect(await indexed.check("codes")).toEqual([
      { first: 52, steps: 26 },
      { first: 195, steps: 13 },
    ]);
    expect(await indexed.read(78, 195, "codes")).toEqual(codes.subarray(78 * each, 195 * each));
    const at = async (time: string) => kinema("search", damaged, "--like", time, "--top", "3", "--json");
    expect(JSON.parse((await at("9")).stdout).moments).toHaveLength(3);
    expect((await at("5.5")).stderr).toMatch(/no embedding at 5\.5 s: that second is lost, or no step begins in it/);
  });

  it("refuses what does not fit, in a line", async () => {
    await expectRefusal(["search", other, "--like", "1"], /no embeddings; make them once: kinema classify .* --index/);
    await expectRefusal(["search", film], /give --like TIME/);
    await expectRefusal(["search", film, "--like", "1:00"], /no embedding at 60 s; it ends at 20\.96 s/);
    await expectRefusal(["search", film, "--like", "20.97"], /no embedding at 20\.97 s; it ends at 20\.96 s/);
    await expectRefusal(["classify", other], /codes of another, for which no network is here; give one with --weights/);
    await expectRefusal(
      ["classify", film, "--weights", `${ROOT}weights/kinema-motion.safetensors`],
      /holds no network that reads codes/,
    );
    const foreign = files.write("foreign.safetensors", motionCodesFile(shape, { quantiser: "0".repeat(64) }));
    await expectRefusal(["classify", film, "--weights", foreign], /quantiser [0-9a-f]{12}, .* with 000000000000; give/);
    await expectRefusal(["classify", film, "--sampling", "dense"], /--sampling is for videos/);
    // Before it is looked at: what its writer appends meanwhile would not come into the new one.
    const busy = files.write("busy.kvc", "");
    files.write("busy.kvc.lock", `${process.pid}\n`);
    await expectRefusal(["classify", busy, "--weights", weights, "--index"], /is being written by process \d+/);
    const clip = `${ROOT}bench/assets/motion.webm`;
    await expectRefusal(["classify", clip, "--index"], /--index is for stores/);
    await expectRefusal(["classify", clip, "--weights", weights], /reads codes, not frames; give it a \.kvc store/);
  }, 120_000);
});

it("kinema inspect says what a network on codes reads", async () => {
  const { code, stdout } = await kinema("inspect", weights);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^model: +kinema-motion-codes, s3d$/m);
  expect(stdout).toMatch(/^reads: +codes: 2 x 256 vectors of 8$/m);
});

it("names the camera's motions in the bundled clip from its codes, with the network that ships", async () => {
  const { code, stdout, stderr } = await kinema("classify", `${ROOT}bench/assets/motion.kvc`, "--json");
  expect([code, stderr]).toEqual([0, ""]);
  const { spans }: StoreClasses = JSON.parse(stdout);
  interface Shown {
    readonly motion: string;
    readonly from: number;
  }
  const { motions }: { motions: Shown[] } = JSON.parse(readFileSync(`${ROOT}bench/assets/motion.json`, "utf8"));
  const moves = /^(pan|tilt|zoom|roll)/;
  const shown = motions.filter(({ motion }) => moves.test(motion));
  const named = spans.filter(({ label }) => moves.test(label));
  expect(named.map(({ label }) => label)).toEqual(shown.map(({ motion }) => motion));
  expect(named.length).toBe(8);
  named.forEach(({ from }, i) => {
    expect(Math.abs(from - shown[i]!.from)).toBeLessThan(0.6); // a step of 0.16 s, three of which make up a mind
  });
});
