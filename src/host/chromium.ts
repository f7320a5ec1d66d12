import { spawnSync } from "node:child_process";
import { existsSync, readlinkSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Browser as PuppeteerBrowser } from "puppeteer-core";
import { fail, KinemaError } from "../core/fail.ts";
import { browserFlags, type GpuMode, mayHaveGpu } from "./browser_flags.ts";
import { type AdapterWords, describeAdapter } from "./describe_adapter.ts";
import { atExit } from "./exit.ts";
import { type BrowserProgram, findBrowsers } from "./find_browser.ts";
import { type AdapterReport, probePage } from "./probe.ts";

const START_MS = 60_000;
// Starts, shows one empty page and ends, which says more of what is wrong than a start that is lost.
const ONE_PAGE = ["--headless", "--dump-dom", "about:blank"];

/** A running headless browser whose WebGPU was tried out. */
export interface Browser {
  readonly puppeteer: PuppeteerBrowser;
  readonly program: BrowserProgram;
  readonly mode: GpuMode;
  /** One line for people: the adapter's name and kind, the browser and its version. */
  readonly adapterDescription: string;
  /** Ends the browser and removes its profile; safe to call twice. */
  close(): Promise<void>;
}

export interface LaunchOptions {
  /** True: a real GPU or an error; false: SwiftShader; left out: a real GPU where one works, else SwiftShader. */
  hardware?: boolean;
  /** More command-line flags of Chromium. */
  flags?: readonly string[];
  /** Told once, when the packaged browser is unpacked (seconds). */
  onFirst?: (message: string) => void;
  /** Ends a browser that is still starting; the launch rejects with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * Starts a headless browser with WebGPU that can import a VideoFrame. Each browser of {@link findBrowsers} is tried with
 * the GPU (where one may exist), then with SwiftShader. Browser and profile folder go when this process ends, however it
 * ends. Throws `no-webgpu` if no browser is found or starts, `no-adapter` if none offers an adapter.
 */
export async function launchBrowser(options: LaunchOptions = {}): Promise<Browser> {
  const failures: KinemaError[] = [];
  for await (const program of findBrowsers(options.onFirst)) {
    for (const mode of modes(options.hardware)) {
      try {
        return await launch(program, mode, options.flags ?? [], options.signal);
      } catch (error) {
        options.signal?.throwIfAborted();
        if (!(error instanceof KinemaError)) throw error;
        failures.push(error);
      }
    }
  }
  if (failures.length === 0) {
    fail("no-webgpu", "no browser: install Chrome or Chromium, or set KINEMA_CHROMIUM to the path of one");
  }
  throw failures.at(-1);
}

function modes(hardware: boolean | undefined): GpuMode[] {
  if (hardware !== undefined) return [hardware ? "hardware" : "software"];
  return mayHaveGpu() ? ["hardware", "software"] : ["software"];
}

async function launch(
  program: BrowserProgram,
  mode: GpuMode,
  flags: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Browser> {
  try {
    return await launchOnce(program, mode, flags, signal);
  } catch (error) {
    // In most containers, and on Ubuntu 23.10 and later, a user's program may not make a sandbox.
    if (!/No usable sandbox/.test(String(error)) || flags.includes("--no-sandbox")) throw error;
    return launchOnce(program, mode, [...flags, "--no-sandbox"], signal);
  }
}

async function launchOnce(
  program: BrowserProgram,
  mode: GpuMode,
  flags: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Browser> {
  signal?.throwIfAborted();
  const profile = await mkdtemp(join(tmpdir(), "kinema-browser-"));
  let puppeteer: PuppeteerBrowser | null = null;
  const kill = (): void => {
    const pid = puppeteer?.process()?.pid;
    if (pid !== undefined) killGroup(pid);
    remove(profile);
  };
  const forget = atExit(kill);
  const end = async (): Promise<void> => {
    await Promise.race([puppeteer?.close().catch(() => {}), new Promise((done) => setTimeout(done, 3000).unref())]);
    kill();
    // A process that is still ending may write once more.
    for (let attempt = 0; attempt < 10 && existsSync(profile); attempt++) {
      await new Promise((done) => setTimeout(done, 50));
      remove(profile);
    }
    forget(); // not before: this process may be told to end while it waits
  };
  let ending: Promise<void> | undefined;
  const close = (): Promise<void> => {
    ending ??= end();
    return ending;
  };
  try {
    puppeteer = await start(program, [...browserFlags(mode), ...flags], profile, signal);
    const report = await inTime(probePage(puppeteer), program, mode);
    const version = await puppeteer.version();
    const adapter = accept(report, mode, program);
    const adapterDescription = `${describeAdapter(adapter)}, ${version}${program.origin === "npm" ? " from npm" : ""}`;
    return { puppeteer, program, mode, adapterDescription, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Removes a profile, and the folder beside it that Chromium keeps a socket in and leaves behind when it is killed. */
function remove(folder: string): void {
  const options = { recursive: true, force: true, maxRetries: 3, retryDelay: 20 };
  try {
    const socket = dirname(readlinkSync(join(folder, "SingletonSocket")));
    if (basename(socket).startsWith(".org.chromium.")) rmSync(socket, options);
  } catch {
    // none: not on this system, or it has gone with the browser
  }
  try {
    rmSync(folder, options);
  } catch {
    // still being written to, or not ours to remove: a few kilobytes in the temporary folder are no reason to fail
  }
}

/** The browser is a process group of its own (not on Windows), its helpers in it. */
function killGroup(pid: number): void {
  try {
    process.kill(process.platform === "win32" ? pid : -pid, "SIGKILL");
  } catch {
    // it has ended already
  }
}

async function start(
  program: BrowserProgram,
  flags: string[],
  profile: string,
  signal: AbortSignal | undefined,
): Promise<PuppeteerBrowser> {
  const environment: Record<string, string> = {};
  // Only a system that lacks libraries gets the packaged ones: mixed with its own they could clash.
  if (program.libraries !== null && complaint(program.path, {}) !== null) {
    environment.LD_LIBRARY_PATH = [process.env.LD_LIBRARY_PATH, program.libraries].filter((part) => part).join(":");
  }
  // The signal is the start's only: a browser that runs ends with its close(), after whoever uses it.
  const starting = new AbortController();
  const stop = () => starting.abort(signal?.reason);
  signal?.addEventListener("abort", stop);
  try {
    return await startOnce(program, flags, profile, environment, starting.signal);
  } catch (error) {
    signal?.throwIfAborted();
    const said = complaint(program.path, environment, [...flags, `--user-data-dir=${profile}`, ...ONE_PAGE]);
    const message = error instanceof Error ? error.message : String(error);
    const reason = (said ?? message).split("\n")[0]!.trim();
    return fail(
      "no-webgpu",
      `${program.path} does not start: ${reason}; set KINEMA_CHROMIUM to one that does`,
      {},
      error,
    );
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** What the program says when it fails at `task`, such as a missing library (27 ms for its version); null if it does not. */
function complaint(path: string, environment: Record<string, string>, task = ["--version"]): string | null {
  if (process.platform === "win32") return null; // there it would open a window
  const options = { encoding: "utf8", timeout: 10_000, env: { ...process.env, ...environment } } as const;
  const result = spawnSync(path, task, options);
  if (result.status === 0) return null;
  const lines = result.stderr?.trim().split("\n") ?? [];
  const fatal = lines.find((line) => line.includes("FATAL")) ?? lines[0];
  return fatal || result.error?.message || `it ended with ${result.signal ?? result.status}`;
}

async function startOnce(
  program: BrowserProgram,
  flags: string[],
  profile: string,
  extra: Record<string, string>,
  signal: AbortSignal,
) {
  const { launch: launchChromium } = (await import("puppeteer-core")).default;
  return launchChromium({
    executablePath: program.path,
    userDataDir: profile,
    args: flags,
    env: { ...process.env, ...extra },
    signal,
    pipe: true, // the browser ends when the pipe closes, so it cannot outlive this process
    timeout: START_MS,
    protocolTimeout: 0, // a model may run for minutes; what does not answer is noticed as a crash or by its watchdog
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  });
}

/** A driver that hangs must not hang Kinema. */
async function inTime<T>(work: Promise<T>, program: BrowserProgram, mode: GpuMode): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_done, reject) => {
    const text = `${program.path} (${mode}) does not answer a first use of WebGPU within ${START_MS / 1000} s`;
    timer = setTimeout(() => reject(new KinemaError("no-adapter", text)), START_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function accept(report: AdapterReport, mode: GpuMode, program: BrowserProgram): AdapterWords {
  const where = `${program.path} (${mode})`;
  if (!report.webgpu)
    fail("no-webgpu", `${where} has no WebGPU; set KINEMA_CHROMIUM to Chrome or Chromium 136 or newer`);
  if (!report.adapter) fail("no-adapter", `${where} offers no WebGPU adapter`);
  if (mode === "hardware" && report.adapter.isFallbackAdapter)
    fail("no-adapter", `${where} offers a software adapter only`);
  if (report.videoFrame !== "ok") fail("no-adapter", `${where} cannot import a VideoFrame: ${report.videoFrame}`);
  return report.adapter;
}
