// Small stores of known codes, and what of them can be read.
import { KinemaError } from "../../src/core/fail.ts";
import { type Codes, type CodesTrack, MemoryFile, openStore, type StoreDescription } from "../../src/store/index.ts";

/** Whole numbers below `below`, the same for the same seed (Lehmer's generator, modulus 2^31 - 1). */
export function randomInts(seed: number): (below: number) => number {
  let state = (seed % 2147483646) + 1;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return Math.floor((state / 2147483647) * below);
  };
}

export const codesTrack = (change: Partial<CodesTrack> = {}): CodesTrack => ({
  name: "codes",
  kind: "codes",
  model: "made",
  quantiser: "0123456789abcdef".repeat(4),
  stride: [1, 8, 8],
  grid: [3, 5],
  codebooks: [{ kind: "vq", size: 13, dim: 4 }],
  chunk: 2,
  ...change,
});

export const described = (...tracks: StoreDescription["tracks"]): StoreDescription => ({
  width: 40,
  height: 24,
  fps: [25, 1],
  tracks,
});

/** Codes that mostly stay as they are from step to step, as those of video do. */
export function madeCodes(track: CodesTrack, steps: number, seed: number, stay = 0.7): Codes {
  const random = randomInts(seed);
  const [sites, books] = [track.grid[0] * track.grid[1], track.codebooks];
  const each = sites * books.length;
  const codes = books.some(({ size }) => size > 65536)
    ? new Uint32Array(steps * each)
    : books.some(({ size }) => size > 256)
      ? new Uint16Array(steps * each)
      : new Uint8Array(steps * each);
  for (let i = 0; i < codes.length; i++) {
    const keeps = i >= each && random(1000) < 1000 * stay;
    codes[i] = keeps ? codes[i - each]! : random(books[Math.floor((i % each) / sites)]!.size);
  }
  return codes;
}

/** Which chunks of `chunk` steps can be read, as text: "ok", the code of a KinemaError, or "WRONG". Throws any other error. */
export async function readable(file: MemoryFile, want: Codes, each: number, chunk: number): Promise<string[]> {
  const reader = await openStore(file);
  const result: string[] = [];
  for (let step = 0; step < reader.steps(); step += chunk) {
    const end = Math.min(step + chunk, reader.steps());
    try {
      const got = await reader.read(step, end);
      result.push(sameCodes(got, want.subarray(step * each, end * each)) ? "ok" : "WRONG");
    } catch (error) {
      if (!(error instanceof KinemaError)) throw error;
      result.push(error.code);
    }
  }
  return result;
}

export function sameCodes(a: Codes, b: Codes): boolean {
  return a.length === b.length && a.every((code, i) => code === b[i]);
}

export interface Write {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** A file that keeps what was written between two flushes. */
export class RecordedFile extends MemoryFile {
  /** What was durable before, and what was under way, per flush. */
  readonly epochs: { readonly before: Uint8Array; readonly writes: Write[] }[] = [];
  private durable = this.bytes.slice();
  private writes: Write[] = [];

  override async write(at: number, bytes: Uint8Array): Promise<void> {
    this.writes.push({ at, bytes: bytes.slice() });
    await super.write(at, bytes);
  }

  override async flush(): Promise<void> {
    await super.flush();
    if (this.writes.length > 0) this.epochs.push({ before: this.durable, writes: this.writes });
    this.durable = this.bytes.slice();
    this.writes = [];
  }
}
