/** A safetensors file that is nowhere: its header is made, and its numbers are made when they are asked for. */
import type { ByteSource } from "../src/weights/byte_source.ts";

export interface VirtualFile extends ByteSource {
  /** Bytes of its largest tensor. */
  readonly largest: number;
  /** Bytes that were asked for so far, the header's included. */
  asked(): number;
}

/**
 * F32 tensors of those shapes, one after another, every number 0.01.
 * @param watch called at each read, before its bytes are made
 */
export function virtualFile(shapes: Readonly<Record<string, readonly number[]>>, watch = () => {}): VirtualFile {
  const entries: string[] = [];
  let [end, largest, asked] = [0, 0, 0];
  for (const [name, shape] of Object.entries(shapes)) {
    const bytes = shape.reduce((product, extent) => product * extent, 4);
    entries.push(`"${name}":{"dtype":"F32","shape":[${shape}],"data_offsets":[${end},${end + bytes}]}`);
    end += bytes;
    largest = Math.max(largest, bytes);
  }
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const header = new Uint8Array(8 + json.length);
  new DataView(header.buffer).setBigUint64(0, BigInt(json.length), true);
  header.set(json, 8);
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    watch();
    asked += length;
    if (offset < header.length) return header.slice(offset, offset + length);
    return new Uint8Array(new Float32Array(length / 4).fill(0.01).buffer);
  };
  return { name: "virtual.safetensors", size: header.length + end, read, largest, asked: () => asked };
}
