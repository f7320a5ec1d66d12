// The program as a user starts it.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../../bin/kinema.js", import.meta.url));
const LONGEST_MS = 120_000;

export interface Ended {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts `node bin/kinema.js` with stdout and stderr in pipes; `ended` resolves when it has exited. */
export function start(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: LONGEST_MS,
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (text: string) => {
      texts[name] += text;
    });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...texts }));
  });
  return { child, ended };
}

/** Runs the program to its end. */
export const kinema = (...args: string[]): Promise<Ended> => start(args).ended;

/** Expects exit code 2, nothing on stdout, and one line on stderr that matches. */
export async function expectRefusal(args: readonly string[], message: RegExp): Promise<void> {
  const { code, stdout, stderr } = await start(args).ended;
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^kinema: [^\n]+\n$/);
  expect(stderr).not.toMatch(/\n\s+at |node:internal|file:\/\//);
  expect([code, stdout]).toEqual([2, ""]);
}
