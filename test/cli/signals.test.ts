// Ctrl-C while a video is classified: exit code 130, no browser, no profile, no file left.
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { syntheticFile } from "../synthetic_model.ts";
import { ROOT, start } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

// At 224 x 224, and every frame of 16 seconds: it would take a minute.
const weights = files.write(
  "online.safetensors",
  syntheticFile("tsm-mobilenetv2-online", 27, { preprocess: JSON.stringify({ fps: 25 }) }),
);
const clip = `${ROOT}bench/assets/motion.webm`;

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** Command lines of the running processes that name `text`. */
function processes(text: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        return words.includes(text) ? [words.slice(0, 200)] : [];
      } catch {
        return []; // it has ended meanwhile
      }
    });
}

async function until(what: () => boolean, ms: number): Promise<boolean> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(20)) if (what()) return true;
  return what();
}

describe.skipIf(process.platform !== "linux")("SIGINT during kinema classify", () => {
  it.each([
    ["as the browser starts", 0],
    ["while it runs", 3000],
  ])("%s", { timeout: 90_000 }, async (name, later) => {
    const temporary = files.path(name.replaceAll(" ", "-"));
    mkdirSync(temporary);
    const { child, ended } = start(["classify", clip, "--weights", weights], { TMPDIR: temporary });
    const profile = `${temporary}/kinema-browser-`;
    expect(await until(() => processes(profile).length > 0, 30_000)).toBe(true);
    await sleep(later);
    const asked = performance.now();
    child.kill("SIGINT");
    const { code, stdout, stderr } = await ended;
    expect(performance.now() - asked).toBeLessThan(10_000);
    expect([code, stdout]).toEqual([130, ""]);
    // What takes longer than three seconds to end is ended without a word.
    expect(stderr).toMatch(/^(kinema: stopped by SIGINT\n)?$/);
    // A killed process is gone when the system has cleaned up behind it.
    await until(() => processes(profile).length === 0, 3000);
    expect(processes(profile)).toEqual([]);
    const profiles = () => readdirSync(temporary).filter((entry) => entry.startsWith("kinema-"));
    await until(() => profiles().length === 0, 3000);
    expect(profiles()).toEqual([]);
  });
});
