/** Where the real data is, if it is: KINEMA_DATA, or ../shared/data beside the repository. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { ByteSource } from "../../../src/weights/byte_source.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
export const DATA = process.env.KINEMA_DATA ?? resolve(ROOT, "../shared/data");
export const dataFile = (name: string): string => join(DATA, name);
export const hasData = (name: string): boolean => existsSync(dataFile(name));
export const JESTER = "weights/jester_online_first_1MiB.pth.tar";

/** The same source, counting the bytes that are asked for. */
export function counting(inner: ByteSource): ByteSource & { bytes(): number } {
  let bytes = 0;
  const read = (offset: number, length: number): Promise<Uint8Array> => {
    bytes += length;
    return inner.read(offset, length);
  };
  return { name: inner.name, size: inner.size, read, bytes: () => bytes };
}
