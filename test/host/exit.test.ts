import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, it } from "vitest";

/** Starts a browser, makes a folder for a while, tells its process, profile and folder, and ends as it is told, or waits. */
const PROGRAM = `
import { mkdirSync } from "node:fs";
import { temporary } from "./src/host/exit.ts";
import { launchBrowser } from "./src/host/chromium.ts";
const child = (await launchBrowser({ hardware: false })).puppeteer.process();
const profile = child.spawnargs.find((argument) => argument.startsWith("--user-data-dir=")).slice(16);
const part = profile + ".part";
temporary(part);
mkdirSync(part + "/inner", { recursive: true });
console.log(JSON.stringify({ pid: child.pid, profile, part }));
if (process.argv[2] === "throw") setTimeout(() => { throw new Error("uncaught"); }, 10);
if (process.argv[2] === "exit") process.exit(7);
setInterval(() => {}, 1000);`;

const folder = mkdtempSync(join(tmpdir(), "kinema-exit-"));
// below the repository's node_modules, so that its packages are found
const program = join(process.cwd(), "node_modules/.cache/kinema/exit_test.mjs");

beforeAll(async () => {
  const stdin = { contents: PROGRAM, resolveDir: process.cwd() };
  await build({
    stdin,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    outfile: program,
  });
});
afterAll(() => {
  rmSync(folder, { recursive: true });
  rmSync(program);
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

it.skipIf(process.platform === "win32").each([
  ["SIGTERM", null, "SIGTERM"],
  ["throw", 1, null],
  ["exit", 7, null],
])("ends the browser with the process, and what was there for a while: %s", async (how, code, signal) => {
  const child = spawn(process.execPath, [program, how], { env: { ...process.env, TMPDIR: folder } });
  const ended = new Promise<unknown[]>((done) => child.on("close", (...status) => done(status)));
  const line = await new Promise<string>((done) => child.stdout.once("data", (data) => done(String(data))));
  const { pid, profile, part } = JSON.parse(line);
  expect([profile.startsWith(folder), part]).toEqual([true, `${profile}.part`]);
  if (signal) child.kill(signal as NodeJS.Signals);
  expect(await ended).toEqual([code, signal]);
  for (let wait = 0; wait < 40 && alive(pid); wait++) await new Promise((done) => setTimeout(done, 50));
  expect([alive(pid), existsSync(profile), existsSync(part)]).toEqual([false, false, false]);
});
