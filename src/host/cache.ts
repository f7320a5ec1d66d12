import { randomBytes } from "node:crypto";
import { accessSync, constants, existsSync, lstatSync, mkdirSync } from "node:fs";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { fail, KinemaError } from "../core/fail.ts";
import { temporary } from "./exit.ts";

const STALE_MS = 3600_000;

/**
 * The folder for unpacked browsers and drivers: `$KINEMA_CACHE`, else `$XDG_CACHE_HOME/kinema`, else `~/.cache/kinema`,
 * else a private folder below the system's temporary one. The first that can be written is made and returned.
 * Throws `usage` when `$KINEMA_CACHE` is set and cannot be written.
 */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const chosen = environment.KINEMA_CACHE;
  if (chosen) {
    if (!isAbsolute(chosen)) fail("usage", `KINEMA_CACHE=${chosen} is not an absolute path; give one that is`);
    return writable(chosen) ? chosen : fail("usage", `KINEMA_CACHE=${chosen} cannot be written; choose another folder`);
  }
  const xdg = environment.XDG_CACHE_HOME;
  const home = environment.HOME || homedir();
  const candidates = [xdg && isAbsolute(xdg) ? join(xdg, "kinema") : "", home ? join(home, ".cache", "kinema") : ""];
  for (const folder of candidates) if (folder && writable(folder)) return folder;
  // Programs are started from here, so a folder that another user planted below /tmp must not be trusted.
  const user = process.getuid?.() ?? 0;
  const last = join(tmpdir(), `kinema-${user}`);
  if (writable(last) && (process.platform === "win32" || ownedBy(last, user))) return last;
  return fail("usage", `no cache folder can be written (${last} neither); set KINEMA_CACHE to one that can`);
}

function ownedBy(folder: string, user: number): boolean {
  const status = lstatSync(folder);
  return status.isDirectory() && status.uid === user && (status.mode & 0o022) === 0;
}

function writable(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Returns the folder `<cache>/<key>`, filling it first if it is not there: `fill` writes into a temporary folder beside
 * it, which is then renamed, so a folder under its final name is always complete. Two processes may race: the
 * first rename wins and the other's copy is dropped. `key` names the content and its version.
 */
export async function unpackOnce(
  key: string,
  fill: (folder: string) => Promise<void>,
  onFirst?: (message: string) => void,
): Promise<string> {
  const cache = cacheFolder();
  const target = join(cache, key);
  if (existsSync(target)) return target;
  onFirst?.(`unpacking ${key} into ${cache} (once)`);
  await removeStale(cache);
  const own = join(cache, `${key}.tmp-${randomBytes(6).toString("hex")}`);
  const discard = temporary(own);
  try {
    await mkdir(own, { mode: 0o700 });
    await fill(own);
    await rename(own, target);
  } catch (error) {
    if (existsSync(target)) return target; // another process was faster
    if (error instanceof KinemaError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    fail("no-webgpu", `cannot unpack ${key} into ${cache}: ${reason}; free space or set KINEMA_CACHE`, {}, error);
  } finally {
    discard();
  }
  return target;
}

/** Drops what a killed process left half unpacked. */
async function removeStale(cache: string): Promise<void> {
  for (const entry of await readdir(cache)) {
    if (!entry.includes(".tmp-")) continue;
    const path = join(cache, entry);
    const age = Date.now() - (await stat(path).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs;
    if (age > STALE_MS) await rm(path, { recursive: true, force: true });
  }
}
