/** Records on their way into a store. */
import { joined } from "../core/join.ts";
import {
  backOf,
  CODEC,
  type Entry,
  encodePage,
  encodeRecord,
  encodeSuperblock,
  KIND,
  PAGE_CHUNKS,
  type Page,
  type RecordHeader,
  SUPERBLOCK_AT,
} from "./layout.ts";
import type { Log } from "./log.ts";
import type { StoreFile } from "./store_file.ts";

/** What a record says of itself; what its place in the file decides is added. */
export type Facts = Pick<RecordHeader, "kind" | "codec"> & Partial<RecordHeader>;

/** Records that are committed together, one batch after the other. */
export class Batch {
  /** The state with what has been added, committed or not. */
  log: Log;
  /** Chunks that have been added and not committed. */
  chunks = 0;
  private parts: Uint8Array[] = [];

  constructor(log: Log) {
    this.log = log;
    this.addPages();
  }

  add(facts: Facts, payload: Uint8Array): void {
    const { fileId, length: offset, sequence, link } = this.log;
    const none = { track: 0, first: 0, steps: 0, count: 0, meanChange: 0, maxChange: 0 };
    const header = { ...none, ...facts, fileId, offset, sequence, link };
    const { bytes, crc } = encodeRecord(header, payload);
    this.parts.push(bytes);
    this.log = { ...this.log, length: offset + bytes.byteLength, sequence: sequence + 1, link: crc };
    if (facts.kind !== KIND.chunk) return;
    this.chunks++;
    const { track, first, steps, codec } = header;
    const entry: Entry = { offset, track, first, steps, length: payload.byteLength, codec };
    const ends = this.log.ends.map((end, index) => (index === track ? first + steps : end));
    this.log = { ...this.log, ends, tail: [...this.log.tail, entry] };
    this.addPages();
  }

  /** Adds index pages while the superblock's list is full. */
  private addPages(): void {
    while (this.log.tail.length >= PAGE_CHUNKS) {
      const { page: last, pageAt, tail, length: offset } = this.log;
      const starts = this.log.ends.map((_, track) => endOf(last, track));
      const number = last ? last.number + 1 : 0;
      const page: Page = { number, starts, back: backOf(last, pageAt), entries: tail.slice(0, PAGE_CHUNKS) };
      this.add({ kind: KIND.page, codec: CODEC.raw }, encodePage(page));
      this.log = { ...this.log, page, pageAt: offset, tail: tail.slice(PAGE_CHUNKS) };
    }
  }

  /**
   * Writes the records, and when they are on the medium the superblock that was not written last. After a failure, which
   * is the file's, the next call tries again.
   */
  async commit(file: StoreFile): Promise<void> {
    const bytes = joined(Uint8Array, this.parts);
    if (bytes.length > 0) await file.write(this.log.length - bytes.length, bytes);
    await file.flush();
    const { fileId, page, pageAt, sequence, link, tail, ends } = this.log;
    const [generation, slot] = [this.log.generation + 1, 1 - this.log.slot];
    const pages = page ? page.number + 1 : 0;
    const root = { fileId, generation, length: this.log.length, pageAt, pages, sequence, link, tail, ends };
    await file.write(SUPERBLOCK_AT[slot]!, encodeSuperblock(root));
    await file.flush();
    this.log = { ...this.log, generation, slot };
    this.parts = [];
    this.chunks = 0;
  }
}

/** The step that follows a track's last chunk in or before a page. */
function endOf(page: Page | null, track: number): number {
  const last = page?.entries.findLast((entry) => entry.track === track);
  return last ? last.first + last.steps : (page?.starts[track] ?? 0);
}
