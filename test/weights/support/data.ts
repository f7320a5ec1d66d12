import type { ByteSource } from "../../../src/weights/byte_source.ts";

export { dataFile, hasData } from "../../data.ts";
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
