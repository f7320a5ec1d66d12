// Where commands write: what a place is refused for, and what of it stays.
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { afterAll, expect, it } from "vitest";
import { checkNew, checkPlace, replacement, writeWhole } from "../../src/cli/output.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const input = files.write("input.png", "what is read");
const link = files.path("link.png");
symlinkSync(input, link);

it("refuses a place that is read, by any name that leads to it", async () => {
  const refused = (path: string, inputs: readonly string[]) => checkPlace(path, "--out", inputs);
  for (const path of [input, link, `${files.folder}/./input.png`]) {
    for (const read of [input, link])
      await expect(refused(path, ["other", read])).rejects.toThrow(`${path} is read itself; give --out another name`);
    await checkPlace(path, "--out");
  }
  await refused(files.write("else.png", ""), [input, files.path("none.png")]);
  await refused(files.path("none.png"), [input, files.path("none.png")]);
  // A second name of the same bytes is a file of its own: it is replaced, and the other stays.
  linkSync(input, files.path("second.png"));
  await refused(files.path("second.png"), [input]);
});

it("refuses what is no file", async () => {
  await expect(checkPlace(files.folder, "--out")).rejects.toThrow(/is a folder; give --out the name of a file/);
  await expect(checkPlace("/dev/null", "--out")).rejects.toThrow("/dev/null is no regular file; give --out");
  await expect(checkPlace(files.path("no/x.png"), "--out")).rejects.toThrow(/cannot be written: ENOENT/);
});

it("of a new file refuses whatever is there", async () => {
  await checkNew(files.path("new.png"), "OUT");
  symlinkSync(files.path("nowhere"), files.path("dangling.png"));
  for (const path of [input, link, files.path("dangling.png")])
    await expect(checkNew(path, "OUT")).rejects.toThrow(`${path} is there already; give another name or remove it`);
});

it("puts a file in the place of another, which keeps its links and who may read it", async () => {
  mkdirSync(files.path("real"));
  const [place, alias] = [files.path("real/x.bin"), files.path("alias.bin")];
  writeFileSync(place, "before");
  chmodSync(place, 0o640);
  symlinkSync(place, alias);
  await writeWhole(alias, new TextEncoder().encode("after"));
  expect([readlinkSync(alias), readFileSync(place, "utf8")]).toEqual([place, "after"]);
  expect(statSync(place).mode & 0o7777).toBe(0o640);
  chmodSync(place, 0o600);
  const { part, discard } = await replacement(alias);
  expect(statSync(part).mode & 0o7777).toBe(0o600); // nobody reads it while it is written either
  discard();
  expect(readdirSync(files.path("real"))).toEqual(["x.bin"]);
  expect(readFileSync(place, "utf8")).toBe("after");
});
