// kinema info and kinema cut, as a user starts them.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fileSource } from "../../src/host/file_source.ts";
import { nodeStoreFile } from "../../src/host/store_file.ts";
import { withMomentTracks } from "../../src/moments.ts";
import { createStore, openStore } from "../../src/store/index.ts";
import { codesTrack, described, madeCodes, sameCodes } from "../store/made.ts";
import { expectRefusal, kinema, ROOT } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const STEPS = 150;
const EACH = 15;
const track = codesTrack({ chunk: 25 });
const codes = madeCodes(track, STEPS, 7);
const film = files.path("film.kvc");

beforeAll(async () => {
  const labels = { name: "labels", kind: "bytes", format: "application/json" } as const;
  const description = { ...described(track, labels), source: "camera 1\x1b[31m" };
  const writer = await createStore(await nodeStoreFile(film, { create: "new" }), description);
  await writer.append(codes);
  await writer.appendBytes("labels", 30, 10, new TextEncoder().encode("{}"));
  await writer.close();
});

/** What `info` prints as JSON; where the store is not whole, after that it fails. */
async function json(path: string, whole = true) {
  const { code, stdout, stderr } = await kinema("info", path, "--json");
  expect([code, stderr]).toEqual([whole ? 0 : 1, whole ? "" : expect.stringMatching(NOT_WHOLE)]);
  return JSON.parse(stdout);
}

const NOT_WHOLE = /^kinema: .*\.kvc is not whole; kinema cut copies what can be read, --from one time --to another\n$/;

/** The film with a byte changed in the payload of its third chunk. */
function damaged(): Uint8Array {
  const bytes = new Uint8Array(readFileSync(film));
  const chunks = [...bytes.keys()].filter(
    (at) => at >= 16384 && at % 8 === 0 && bytes[at] === 0x4b && bytes[at + 1] === 0x56,
  );
  bytes[chunks[2]! + 64 + 10]! ^= 4;
  return bytes;
}

describe("kinema info", () => {
  it("says what a store holds", async () => {
    const { code, stdout, stderr } = await kinema("info", film);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^video: +40 x 24, 25 frames\/s$/m);
    expect(stdout).toMatch(/^source: +camera 1\?\[31m$/m);
    expect(stdout).toMatch(/^track: +codes$/m);
    expect(stdout).toMatch(/^ {2}model: +made, 0123456789abcdef$/m);
    expect(stdout).toMatch(/^ {2}codes: +3 x 5 of vq 13, one per 1 x 8 x 8$/m);
    expect(stdout).toMatch(/^ {2}length: +0:00:06\.00, 150 steps of 1 frame$/m);
    expect(stdout).toMatch(/^ {2}chunks: +6: 6 rans$/m);
    // 40 x 24 RGB pixels of 8 bits against 15 codes of 4.
    expect(stdout).toMatch(/^ {2}bytes: +\d+, [3-6]\d\.\d % of packed codes, which are 1\/384\.0 of RGB$/m);
    expect(stdout).toMatch(/^ {2}holds: +application\/json$/m);
    expect(stdout).not.toMatch(/lost|fault|torn/);
    expect(await json(film)).toMatchObject({ whole: true, faults: [], uncommittedBytes: 0, fps: [25, 1] });
  });

  it("says what is lost of a damaged one, by time and step", async () => {
    const path = files.write("damaged.kvc", damaged());
    const { code, stdout, stderr } = await kinema("info", path);
    expect([code, stderr]).toEqual([1, expect.stringMatching(NOT_WHOLE)]);
    expect(stdout).toMatch(/^ {2}lost: +0:00:02\.00 to 0:00:03\.00, steps 50 to 74$/m);
    const report = await json(path, false);
    expect(report.whole).toBe(false);
    expect(report.tracks.map(({ lost }: { lost: unknown }) => lost)).toEqual([[{ first: 50, steps: 25 }], []]);
  });

  it("says what is lost of one that was cut off, and what was never committed", async () => {
    const bytes = new Uint8Array(readFileSync(film));
    const half = files.write("half.kvc", bytes.subarray(0, 16384 + 200));
    const { code, stdout } = await kinema("info", half);
    expect(code).toBe(1);
    expect(stdout).not.toMatch(/^torn/m); // what it ends with was committed
    expect(stdout).toMatch(/^fault: +the file ends \d+ bytes before what was committed$/m);
    const report = await json(half, false);
    const [{ steps, lost }, second] = report.tracks;
    expect(steps).toBeLessThan(STEPS);
    expect(lost).toEqual([{ first: steps, steps: STEPS - steps }]);
    expect(second.lost).toEqual([{ first: 0, steps: 40 }]);
    const longer = new Uint8Array(bytes.length + 100);
    longer.set(bytes);
    const torn = await kinema("info", files.write("longer.kvc", longer));
    expect(torn.stdout).toMatch(/^torn: +100 bytes that were never/m);
    expect(torn.code).toBe(0);
  });

  it("says plainly where nothing tells how much is lost", async () => {
    // 16 chunks in a store of a writer that did not say where they end: the list of the last ones is empty.
    const cut = files.write("cut_clip.kvc", readFileSync(`${ROOT}bench/assets/motion.kvc`).subarray(0, 20_000));
    const { code, stdout } = await kinema("info", cut);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^ {2}lost: +0:00:01\.04 to an unknown end, step 13 and those behind it$/m);
    expect((await json(cut, false)).tracks[0].lost).toEqual([{ first: 13, steps: null }]);
  });
});

describe("kinema cut", () => {
  it("copies a part, chunks as they are and codes to the step", async () => {
    const out = files.path("cut.kvc");
    const { code, stdout, stderr } = await kinema("cut", film, out, "--from", "1.02", "--to", "0:00:04.5");
    expect([code, stdout]).toEqual([0, ""]);
    expect(stderr).toBe(`${out}: 0:00:01.00 to 0:00:04.52 of ${film}\n`);
    const reader = await openStore(await fileSource(out));
    expect(reader.steps()).toBe(113 - 25);
    expect(sameCodes(await reader.read(0, 88), codes.subarray(25 * EACH, 113 * EACH))).toBe(true);
    expect((await reader.chunkAt(5, "labels"))?.first).toBe(5);
    expect(existsSync(`${out}.lock`)).toBe(false);
    await expectRefusal(["cut", film, out], /cut\.kvc is there already; give another name or remove it/);
  });

  it("says as JSON what it made", async () => {
    const out = files.path("said.kvc");
    const { code, stdout, stderr } = await kinema("cut", film, out, "--from", "1.02", "--to", "4.5", "--json");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^\{.*\}\n$/);
    const bytes = readFileSync(out).length;
    expect(JSON.parse(stdout)).toEqual({ file: out, input: film, from: 1, to: 4.52, frames: 88, seconds: 3.52, bytes });
  });

  it("leaves out what was said of the whole's seconds, and says so", async () => {
    const [indexed, out] = [files.path("indexed.kvc"), files.path("part.kvc")];
    const description = withMomentTracks(described(track), 4, "a network");
    const writer = await createStore(await nodeStoreFile(indexed, { create: "new" }), description);
    await writer.append(codes, "codes");
    for (const name of ["embedding", "timeline"]) await writer.appendBytes(name, 0, 7, new Uint8Array(56));
    await writer.close();
    const { code, stderr } = await kinema("cut", indexed, out, "--from", "1.2", "--to", "4");
    expect(code).toBe(0);
    expect(stderr).toMatch(/part\.kvc has no embeddings; make them anew: kinema classify .*part\.kvc --index\n$/);
    const { description: kept } = await openStore(await fileSource(out));
    expect(kept).toEqual({ ...described(track), sourceHash: null });
    // The video ends with its codes, not with the seconds that are told of.
    const behind = ["cut", indexed, files.path("behind.kvc"), "--from", "6.2"];
    await expectRefusal(behind, /indexed\.kvc has nothing from 0:00:06\.20 on; it ends at 0:00:06\.00/);
    expect(existsSync(files.path("behind.kvc"))).toBe(false);
  });

  it("of a damaged store: what is whole can be cut out, else nothing is left behind", async () => {
    const path = files.write("damaged2.kvc", damaged());
    const out = files.path("good.kvc");
    expect((await kinema("cut", path, out, "--from", "3")).code).toBe(0);
    expect((await openStore(await fileSource(out))).steps()).toBe(75);
    const bad = files.path("bad.kvc");
    await expectRefusal(
      ["cut", path, bad],
      /damaged2\.kvc: of codes 0:00:02\.00 to 0:00:03\.00 cannot be read; cut around it with --from and --to/,
    );
    expect([existsSync(bad), existsSync(`${bad}.lock`)]).toEqual([false, false]);
  });

  it("of a store that lost its end: says so, and takes what is there", async () => {
    const path = files.write("ended.kvc", readFileSync(film).subarray(0, 16384 + 700));
    const out = files.path("taken.kvc");
    const { code, stderr } = await kinema("cut", path, out);
    const steps = (await openStore(await fileSource(out))).steps();
    expect(code).toBe(0);
    expect(stderr.split("\n")[0]).toMatch(
      /ended\.kvc is damaged: the file ends \d+ bytes before what was committed; it is read up to 0:00:0\d\.00 \(kinema/,
    );
    expect([25, 50, 75]).toContain(steps);
  });
});

describe("what info and cut refuse", () => {
  it.each<[string, string[], RegExp]>([
    ["no file", ["info"], /FILE is missing \(a \.kvc file\)/],
    ["a file that is not there", ["info", files.path("none.kvc")], /none\.kvc: no such file/],
    ["another file", ["info", files.write("x.kvc", "hello")], /x\.kvc is not a store, or its description is lost/],
    ["a time that is none", ["cut", film, "o.kvc", "--from", "1:2:3:4"], /--from 1:2:3:4 is no time; give seconds/],
    ["times in the wrong order", ["cut", film, "o.kvc", "--from", "4", "--to", "3"], /--to 3 is not after --from 4/],
    ["a part behind the end", ["cut", film, "o.kvc", "--from", "9"], /has nothing from 0:00:09\.00 on/],
    ["a place that is not there", ["cut", film, files.path("no/o.kvc")], /no such file or folder/],
  ])("%s", async (_name, args, message) => {
    await expectRefusal(args, message);
  });

  it("a store that another process writes is not replaced", async () => {
    writeFileSync(files.path("busy.kvc.lock"), `${process.pid}\n`);
    await expectRefusal(["cut", film, files.path("busy.kvc")], /busy\.kvc is being written by process \d+/);
  });
});
