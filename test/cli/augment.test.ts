// `kinema augment`: a store's video changed in its codes.
import { existsSync, readFileSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { quantiserHash, storeDescription } from "../../src/compressor.ts";
import { fileSource } from "../../src/host/file_source.ts";
import { nodeStoreFile } from "../../src/host/store_file.ts";
import { type CodesTrack, createStore, openStore } from "../../src/store/index.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { augmenterFile } from "../augmenter_file.ts";
import { madeCodes } from "../store/made.ts";
import { expectRefusal, kinema, ROOT, start } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const STEPS = 35; // more than are read at a time, and an odd number
const LONG = 4000; // takes half a minute
const [film, long, empty] = [files.path("film.kvc"), files.path("long.kvc"), files.path("empty.kvc")];
let weights = "";
let codes = new Uint8Array();

beforeAll(async () => {
  const compressor = await openCheckpoint(await fileSource(`${ROOT}weights/kinema-compressor-192.safetensors`));
  const description = await storeDescription(compressor, { size: 64, fps: 25, source: "film.mp4" });
  codes = madeCodes(description.tracks[0] as CodesTrack, STEPS, 6) as Uint8Array<ArrayBuffer>;
  const filled = { [film]: codes, [long]: madeCodes(description.tracks[0] as CodesTrack, LONG, 6), [empty]: null };
  for (const [path, held] of Object.entries(filled)) {
    const writer = await createStore(await nodeStoreFile(path, { create: "new" }), description);
    if (held) await writer.append(held);
    await writer.close();
  }
  const shape = { steps: 2, sites: 16, latent: 16, half: 8, heads: 2, layers: 1, hidden: 12 };
  const metadata = { network: JSON.stringify({ heads: 2, aligned: true }), quantiser: await quantiserHash(compressor) };
  weights = files.write("idle.safetensors", augmenterFile(shape, metadata, true));
});

describe("kinema augment", () => {
  it("writes a store of the changed video", async () => {
    const out = files.path("mirrored.kvc");
    const { code, stdout, stderr } = await kinema("augment", film, out, "--flip", "--weights", weights);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/mirrored\.kvc: 0:00:02\.80 of .*film\.kvc, changed; on /);
    const [before, after] = [await openStore(await fileSource(film)), await openStore(await fileSource(out))];
    expect(after.description).toEqual({ ...before.description, sourceHash: null });
    expect(await after.read(0, STEPS)).toEqual(codes.map((_, i) => codes[i - (i % 8) + 7 - (i % 8)]!));
  });

  it("says as JSON what it made", async () => {
    const out = files.path("said.kvc");
    const { code, stdout, stderr } = await kinema("augment", film, out, "--flip", "--weights", weights, "--json");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^\{.*\}\n$/);
    const { size: bytes } = statSync(out);
    const length = { steps: STEPS, frames: 2 * STEPS, seconds: 2.8, bytes };
    expect(JSON.parse(stdout)).toEqual({ file: out, input: film, ...length, adapter: expect.stringMatching(/./) });
  });

  it.each([
    [["--rotate", "45"], /rotate 45 is beyond what the network was trained on/],
    [["--crop", "half"], /--crop half is no number/],
    [[], /nothing to change; give --flip, --rotate, --crop, --brightness or --saturation/],
    [["--flip", "--weights", film], /film\.kvc/],
  ])("%j is refused, and leaves no file", async (flags, message) => {
    const out = files.path("refused.kvc");
    await expectRefusal(["augment", film, out, ...flags], message);
    expect(existsSync(out)).toBe(false);
  });

  it.each([
    ["Ctrl-C", 1, /^kinema: stopped by SIGINT\n$/],
    ["Ctrl-C twice, which ends it at once,", 2, /^(kinema: stopped by SIGINT\n)?$/],
  ])("%s leaves no file", { timeout: 60_000 }, async (_, times, said) => {
    const out = files.path(`broken_off_${times}.kvc`);
    const { child, ended } = start(["augment", long, out, "--flip", "--weights", weights]);
    for (const end = performance.now() + 30_000; performance.now() < end && !existsSync(out); ) await sleep(20);
    await sleep(2000); // until windows go through the network
    expect([existsSync(out), child.exitCode]).toEqual([true, null]);
    for (let i = 0; i < times; i++) {
      child.kill("SIGINT");
      await sleep(5); // one signal is not merged into the other
    }
    const { code, stdout, stderr } = await ended;
    expect([code, stdout]).toEqual([130, ""]);
    expect(stderr).toMatch(said);
    expect([out, `${out}.lock`].map((path) => existsSync(path))).toEqual([false, false]);
  });

  it("of a damaged store says what is lost and what to do, and leaves no file", async () => {
    const bytes = new Uint8Array(readFileSync(film));
    bytes[(await (await openStore(await fileSource(film))).chunkAt(20))!.offset + 80]! ^= 1;
    const [damaged, out] = [files.write("damaged.kvc", bytes), files.path("half.kvc")];
    await expectRefusal(
      ["augment", damaged, out, "--flip", "--weights", weights],
      /damaged\.kvc: of codes 0:00:01\.04 to 0:00:02\.08 cannot be read; cut what is around it .*: kinema cut/,
    );
    expect(existsSync(out)).toBe(false);
  });

  it("kinema inspect tells its network", async () => {
    const { stdout } = await kinema("inspect", weights);
    expect(stdout).toMatch(
      /^model: +kinema-augment\nlayers: +1, width 16, 2 heads, hidden 12\nsees: +vectors of 16: 2 steps of 4 x 4 sites$/m,
    );
  });

  it("a store without codes, and a file that is there, are refused", async () => {
    await expectRefusal(
      ["augment", empty, files.path("none.kvc"), "--flip", "--weights", weights],
      /no whole step of codes/,
    );
    await expectRefusal(["augment", film, empty, "--flip", "--weights", weights], /empty\.kvc/);
    expect(existsSync(empty)).toBe(true);
  });
});
