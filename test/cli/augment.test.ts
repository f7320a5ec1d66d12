// `kinema augment`: a store's video changed in its codes.
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { quantiserHash, storeDescription } from "../../src/compressor.ts";
import { fileSource } from "../../src/host/file_source.ts";
import { nodeStoreFile } from "../../src/host/store_file.ts";
import { type CodesTrack, createStore, openStore } from "../../src/store/index.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { augmenterFile } from "../augmenter_file.ts";
import { madeCodes } from "../store/made.ts";
import { expectRefusal, kinema, ROOT } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const STEPS = 35; // more than are read at a time, and an odd number
const [film, empty] = [files.path("film.kvc"), files.path("empty.kvc")];
let weights = "";
let codes = new Uint8Array();

beforeAll(async () => {
  const compressor = await openCheckpoint(await fileSource(`${ROOT}weights/kinema-compressor-192.safetensors`));
  const description = await storeDescription(compressor, { size: 64, fps: 25, source: "film.mp4" });
  codes = madeCodes(description.tracks[0] as CodesTrack, STEPS, 6) as Uint8Array<ArrayBuffer>;
  for (const path of [film, empty]) {
    const writer = await createStore(await nodeStoreFile(path, { create: "new" }), description);
    if (path === film) await writer.append(codes);
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
    expect(after.description).toEqual(before.description);
    expect(await after.read(0, STEPS)).toEqual(codes.map((_, i) => codes[i - (i % 8) + 7 - (i % 8)]!));
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
