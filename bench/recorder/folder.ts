// The recordings that this browser keeps for this page: files of a folder in OPFS.
import { rateOf } from "../../src/compressor.ts";
import { stepRate } from "../../src/store/description.ts";
import { openStore } from "../../src/store/index.ts";
import { fromBlob } from "../../src/weights/byte_source.ts";

const FOLDER = "recordings";

export interface Recording {
  readonly name: string;
  readonly bytes: number;
  /** Milliseconds since 1970, when it was last written. */
  readonly modified: number;
  /** Null where the file is no whole store: broken off before its first commit, or damaged. */
  readonly content: { readonly seconds: number; readonly rate: string | null } | null;
}

/** Path from OPFS's root. */
export const pathOf = (name: string): string => `${FOLDER}/${name}`;

const folder = async (): Promise<FileSystemDirectoryHandle> =>
  (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });

/** A name that says source, rate and time, and is none of those taken: "motion-192-20260131-235959.kvc", "motion-192-20260131-235959-2.kvc". */
export function newName(source: string, rate: string, taken: ReadonlySet<string>, time = new Date()): string {
  const words = source.replace(/\.\w{1,5}$/, "").match(/[\p{L}\p{N}]+/gu) ?? ["video"];
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${time.getFullYear()}${two(time.getMonth() + 1)}${two(time.getDate())}`;
  const second = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join("");
  const name = `${words.join("-")}-${rate}-${day}-${second}`;
  for (let count = 1; ; count++) {
    const numbered = count === 1 ? `${name}.kvc` : `${name}-${count}.kvc`;
    if (!taken.has(numbered)) return numbered;
  }
}

/** Names that recordings have. */
export async function takenNames(): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const name of (await folder()).keys()) names.add(name);
  return names;
}

/** All recordings, the newest first. Of each, two reads tell what is in it. */
export async function listRecordings(): Promise<Recording[]> {
  const found: Recording[] = [];
  for await (const [name, handle] of (await folder()).entries()) {
    if (handle.kind !== "file") continue;
    const file = await (handle as FileSystemFileHandle).getFile();
    const content = await contentOf(file).catch(() => null);
    found.push({ name, bytes: file.size, modified: file.lastModified, content });
  }
  return found.sort((a, b) => b.modified - a.modified);
}

async function contentOf(file: File): Promise<Recording["content"]> {
  const reader = await openStore(fromBlob(file));
  const track = reader.description.tracks.find((one) => one.kind === "codes");
  if (!track) return null;
  return { seconds: reader.steps(track.name) / stepRate(reader.description, track), rate: rateOf(track) };
}

/** A recording as a file: to be read, or to be saved elsewhere. */
export const recordingFile = async (name: string): Promise<File> =>
  (await (await folder()).getFileHandle(name)).getFile();

/** @throws an Error with a line for people while another tab records it */
export async function removeRecording(name: string): Promise<void> {
  await (await folder()).removeEntry(name).catch((error: DOMException) => {
    throw new Error(`${name} cannot be deleted (${error.name}); is it being recorded in another tab?`);
  });
}
