/** What a store is written to: memory here, a file of Node in src/host/store_file.ts, OPFS in opfs.ts. */
import { fail } from "../core/fail.ts";
import type { ByteSource } from "../weights/byte_source.ts";

/**
 * A file that can be read and written anywhere. `size` follows what is written. Nothing is durable before flush(); up to
 * then a crash may leave any part of what was written. One writer at a time: a back end refuses a second where it can.
 * Failures are KinemaErrors: "bad-input" (no permission, no space, in use), "closed" after close().
 */
export interface StoreFile extends ByteSource {
  /** Puts `bytes` at `offset`; beyond the end the file grows, and a gap reads as zeros. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Resolves when everything written is on the medium. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** A file in memory, for tests and for stores that are sent elsewhere. */
export class MemoryFile implements StoreFile {
  readonly name: string;
  size: number;
  private room: Uint8Array;
  private closed = false;

  constructor(bytes: Uint8Array = new Uint8Array(0), name = "memory") {
    this.name = name;
    this.room = bytes.slice();
    this.size = bytes.byteLength;
  }

  /** What the file holds; a view. */
  get bytes(): Uint8Array {
    return this.room.subarray(0, this.size);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.check();
    return this.bytes.slice(offset, offset + length);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.check();
    const end = offset + bytes.byteLength;
    if (end > this.room.byteLength) {
      const larger = new Uint8Array(Math.max(end, 2 * this.room.byteLength));
      larger.set(this.bytes);
      this.room = larger;
    }
    if (offset > this.size) this.room.fill(0, this.size, offset);
    this.room.set(bytes, offset);
    this.size = Math.max(this.size, end);
  }

  async truncate(size: number): Promise<void> {
    this.check();
    if (size < this.size) this.size = size;
    else if (size > this.size) await this.write(size, new Uint8Array(0));
  }

  async flush(): Promise<void> {
    this.check();
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  private check(): void {
    if (this.closed) fail("closed", `${this.name} is closed`);
  }
}
