// A store in the browser's origin-private file system, kept by a worker in a real Chromium.
import { build } from "esbuild";
import { beforeAll, expect, it } from "vitest";
import { usePage } from "../chromium/use_page.ts";

const fixture = usePage("test/store/page/main.ts");
let code: string;
beforeAll(async () => {
  const options = { bundle: true, format: "iife", target: "es2022", logLevel: "error", write: false } as const;
  const { outputFiles } = await build({ ...options, entryPoints: ["test/store/page/worker.ts"] });
  code = outputFiles[0]!.text;
});

it("records, resumes, reads while recording, and keeps a second writer out", async () => {
  expect(await fixture.page.call("inWorker", { code, task: "record" })).toEqual({
    resumed: 41,
    same: true,
    second: "bad-input: films/a.kvc: in use by another worker or tab; close it there",
    closed: "closed: films/a.kvc is closed",
    missing: "bad-input: films/b.kvc: no such file in OPFS; check the path",
  });
}, 60_000);

it("goes on after a crash", async () => {
  expect(await fixture.page.call("inWorker", { code, task: "recover" })).toEqual({ resumed: 59, same: true });
}, 60_000);

it("is read by the page as a file, and written in a worker only", async () => {
  const { steps, refused } = await fixture.page.call<{ steps: number; refused: string }>("fromPage");
  expect(steps).toBe(60);
  expect(refused).toBe("unsupported: OPFS files open in a dedicated worker only; open the store there");
}, 60_000);
