import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fail } from "../core/fail.ts";
import { packagedChromium, unpackChromium } from "./packaged.ts";

/** A Chromium to start. */
export interface BrowserProgram {
  readonly path: string;
  readonly origin: "KINEMA_CHROMIUM" | "system" | "npm";
  /** Folder of shared libraries for a system that lacks them; null where the browser needs none. */
  readonly libraries: string | null;
}

const PATH_NAMES = ["google-chrome-stable", "google-chrome", "chromium", "chromium-browser", "chrome"];
const APPLICATIONS = [
  "Google Chrome.app/Contents/MacOS/Google Chrome",
  "Chromium.app/Contents/MacOS/Chromium",
  "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
];
const WINDOWS = [
  "Google\\Chrome\\Application\\chrome.exe",
  "Chromium\\Application\\chrome.exe",
  "Microsoft\\Edge\\Application\\msedge.exe",
];

/**
 * The browsers to try, best first: `$KINEMA_CHROMIUM` (then no other), the system's Chrome or Chromium, the one in the
 * npm package @sparticuz/chromium (Linux x64; unpacked on first use, only when it is reached).
 * Throws `usage` if `$KINEMA_CHROMIUM` names no program.
 */
export async function* findBrowsers(onFirst?: (message: string) => void): AsyncGenerator<BrowserProgram> {
  const chosen = process.env.KINEMA_CHROMIUM;
  if (chosen) {
    if (!isProgram(chosen)) fail("usage", `KINEMA_CHROMIUM=${chosen} is not a program; give the path of a Chromium`);
    yield { path: chosen, origin: "KINEMA_CHROMIUM", libraries: null };
    return;
  }
  const system = systemBrowser();
  if (system) yield { path: system, origin: "system", libraries: null };
  const source = packagedChromium();
  if (!source) return;
  const folder = await unpackChromium(source, onFirst);
  yield { path: join(folder, "chromium"), origin: "npm", libraries: join(folder, "lib") };
}

/** The first of {@link findBrowsers}, or null. */
export async function findBrowser(onFirst?: (message: string) => void): Promise<BrowserProgram | null> {
  for await (const browser of findBrowsers(onFirst)) return browser;
  return null;
}

/** Path of an installed Chrome, Chromium or (macOS, Windows) Edge; null if there is none. */
export function systemBrowser(
  platform: NodeJS.Platform = process.platform,
  environment: NodeJS.ProcessEnv = process.env,
): string | null {
  const path = (environment.PATH ?? "").split(delimiter).filter((folder) => folder);
  const candidates = {
    darwin: ["/Applications", join(environment.HOME ?? "", "Applications")].flatMap((folder) =>
      APPLICATIONS.map((application) => join(folder, application)),
    ),
    win32: [environment.PROGRAMFILES, environment["PROGRAMFILES(X86)"], environment.LOCALAPPDATA].flatMap((folder) =>
      folder ? WINDOWS.map((program) => join(folder, program)) : [],
    ),
    linux: [
      ...PATH_NAMES.flatMap((name) => path.map((folder) => join(folder, name))),
      "/opt/google/chrome/chrome",
      "/usr/lib/chromium/chromium",
    ],
  };
  const list = candidates[platform as keyof typeof candidates] ?? candidates.linux;
  return list.find(isProgram) ?? null;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
