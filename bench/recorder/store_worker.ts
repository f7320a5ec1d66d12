// The recorder's worker: writes the store that is being recorded into OPFS, and reads the one that is looked at.
import { codesTrackOf } from "../../src/compressor.ts";
import { fail } from "../../src/core/fail.ts";
import { type CodesTrack, codesArray, codesPerStep } from "../../src/store/description.ts";
import {
  type Codes,
  createStore,
  openStore,
  opfsFile,
  type StoreDescription,
  type StoreFile,
  type StoreReader,
  type StoreWriter,
} from "../../src/store/index.ts";
import { fromBlob } from "../../src/weights/byte_source.ts";
import { pathOf, recordingFile, removeRecording } from "./folder.ts";
import { answerCalls } from "./remote.ts";

/** What of a store can be read now. */
export interface Extent {
  readonly steps: number;
  readonly bytes: number;
}

export interface OpenedStore extends Extent {
  readonly description: StoreDescription;
}

/** The store that is read, and the last chunk that was decoded: the next frame is nearly always in it. */
interface Reading {
  reader: StoreReader;
  readonly track: CodesTrack;
  held: { readonly first: number; readonly steps: number; readonly codes: Codes } | null;
}

let writing: { readonly name: string; readonly file: StoreFile; readonly writer: StoreWriter; size: number } | null =
  null;
let reading: Reading | null = null;
/** While a recording is closed, reading waits. */
let ending: Promise<unknown> = Promise.resolve();

const readingOf = (reader: StoreReader, name: string): Reading => ({
  reader,
  track: codesTrackOf(reader.description, name),
  held: null,
});
const extentOf = ({ reader, track }: Reading): Extent => ({ steps: reader.steps(track.name), bytes: reader.size });
const open = (): Reading => reading ?? fail("closed", "no store is open");
const recording = () => writing ?? fail("closed", "nothing is being recorded");

const calls = {
  /** Begins a recording, which is then the store that is read, too. */
  async begin(name: string, description: StoreDescription): Promise<Extent> {
    reading = null;
    const file = await opfsFile(pathOf(name), { create: true });
    const made = file.size === 0; // else it is another recording, which createStore refuses to write over
    try {
      writing = { name, file, writer: await createStore(file, description), size: file.size };
      reading = readingOf(await openStore(file), name);
      return extentOf(reading);
    } catch (error) {
      writing = null;
      await file.close();
      if (made) await removeRecording(name);
      throw error;
    }
  },

  /** Appends whole steps; what is committed by then can be read. */
  async append(codes: Codes): Promise<Extent> {
    const { file, writer, size } = recording();
    await writer.append(codes);
    const now = open();
    if (file.size !== size) {
      recording().size = file.size;
      now.reader = await openStore(file);
    }
    return extentOf(now);
  },

  /** Commits what waits and closes the recording; what it holds is read from then on. */
  end(): Promise<Extent> {
    const { writer, name } = recording();
    writing = null;
    const done = writer.close().finally(async () => {
      reading = readingOf(await openStore(fromBlob(await recordingFile(name))), name);
    });
    ending = done.catch(() => {});
    return done.then(() => extentOf(open()));
  },

  /** Of the store that is read. */
  async extent(): Promise<Extent> {
    await ending;
    return reading ? extentOf(reading) : { steps: 0, bytes: 0 };
  },

  /** Opens a store to be read. */
  async open(file: File): Promise<OpenedStore> {
    await ending;
    reading = readingOf(await openStore(fromBlob(file)), file.name);
    return { description: reading.reader.description, ...extentOf(reading) };
  },

  /** Codes of steps `from` to `to` - 1. */
  async read(from: number, to: number): Promise<Codes> {
    await ending;
    const store = open();
    const each = codesPerStep(store.track);
    const out = codesArray(store.track, (to - from) * each);
    for (let step = from; step < to; ) {
      const { first, steps, codes } = await chunkOf(store, step);
      const end = Math.min(to, first + steps);
      out.set(codes.subarray((step - first) * each, (end - first) * each), (step - from) * each);
      step = end;
    }
    return out;
  },
};

export type StoreCalls = typeof calls;

async function chunkOf(store: Reading, step: number) {
  const { held, reader, track } = store;
  if (held && held.first <= step && step < held.first + held.steps) return held;
  const chunk = await reader.chunkAt(step, track.name);
  if (!chunk) return fail("bad-file", `step ${step} is lost; the file is damaged (kinema info)`);
  const { first, steps } = chunk;
  store.held = { first, steps, codes: chunk.codes() };
  return store.held;
}

answerCalls(calls);
