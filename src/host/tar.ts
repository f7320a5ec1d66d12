import { fail } from "../core/fail.ts";

const BLOCK = 512;

/** One regular file of a tar archive; `executable` is the owner's execute bit. */
export interface TarFile {
  readonly path: string;
  readonly data: Uint8Array;
  readonly executable: boolean;
}

/**
 * Lists the regular files of an uncompressed ustar archive (POSIX.1-1988, `ustar` prefix field included).
 * Directories are implied by paths; links and devices are refused, and so is a path that leaves the archive's folder.
 * Throws `bad-file` on a malformed archive.
 */
export function readTar(archive: Uint8Array, name: string): TarFile[] {
  const files: TarFile[] = [];
  for (let offset = 0; offset + BLOCK <= archive.length; ) {
    const header = archive.subarray(offset, offset + BLOCK);
    if (header.every((byte) => byte === 0)) return files; // the end marker
    const size = octal(header, 124, 12, name);
    const type = String.fromCharCode(header[156] ?? 0);
    const prefix = text(header, 257, 5) === "ustar" ? text(header, 345, 155) : "";
    const path = prefix ? `${prefix}/${text(header, 0, 100)}` : text(header, 0, 100);
    const begin = offset + BLOCK;
    if (begin + size > archive.length) fail("bad-file", `${name}: entry ${path} runs past the end of the archive`);
    if (type === "0" || type === "\0") {
      if (path.startsWith("/") || path.split("/").includes("..")) fail("bad-file", `${name}: unsafe path ${path}`);
      const executable = (octal(header, 100, 8, name) & 0o100) !== 0;
      files.push({ path, data: archive.subarray(begin, begin + size), executable });
    } else if (type !== "5" && type !== "x" && type !== "g") {
      fail("bad-file", `${name}: entry ${path} is of type "${type}", only files and folders are read`);
    }
    offset = begin + Math.ceil(size / BLOCK) * BLOCK;
  }
  return fail("bad-file", `${name}: no end marker; the archive is cut short`);
}

function text(header: Uint8Array, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

function octal(header: Uint8Array, start: number, length: number, name: string): number {
  const digits = text(header, start, length).trim();
  if (!/^[0-7]*$/.test(digits)) fail("bad-file", `${name}: "${digits}" is not an octal number; is it a tar archive?`);
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}
