// Moments of a video by what they look like: an embedding for each second, in a track of the store beside the codes.

import { fail } from "./core/fail.ts";
import { toHalf } from "./core/half.ts";
import { secondsOf } from "./store/description.ts";
import type { BytesTrack, StoreDescription, StoreReader, StoreWriter } from "./store/index.ts";
import { framesOfSecond, type Second } from "./timeline.ts";
import { toFloat32 } from "./weights/dtype.ts";

/** The track of embeddings: f16 of length 1, a row a second. */
export const EMBEDDING_TRACK = "embedding";
/** The track of what happens: a JSON list, a {@link Told} a second. */
export const TIMELINE_TRACK = "timeline";

/** Seconds of a chunk: few enough that a cut loses little, enough that an hour is read in a moment. */
const CHUNK = 16;

/** What the timeline says of a second, whose number is its place in the track. */
export type Told = Pick<Second, "label" | "score" | "changed" | "distance" | "change">;

/** A second and what the timeline says of it. */
export type Moment = Told & Pick<Second, "number" | "from" | "to">;

/** A description with the two tracks, in the place of those it had. `numbers` of an embedding, and the network that makes them. */
export function withMomentTracks(description: StoreDescription, numbers: number, network: string): StoreDescription {
  const every = framesOfSecond(description.fps);
  const added: BytesTrack[] = [
    { kind: "bytes", name: EMBEDDING_TRACK, format: `f16[${numbers}] of ${network}`, every },
    { kind: "bytes", name: TIMELINE_TRACK, format: "application/json", every },
  ];
  return { ...description, tracks: [...withoutMomentTracks(description).tracks, ...added] };
}

/** A description without the two tracks. */
export const withoutMomentTracks = (description: StoreDescription): StoreDescription => ({
  ...description,
  tracks: description.tracks.filter(({ name }) => name !== EMBEDDING_TRACK && name !== TIMELINE_TRACK),
});

/** Writes seconds to the two tracks of a store, in chunks. */
export class MomentWriter {
  readonly #writer: StoreWriter;
  #seconds: Second[] = [];

  constructor(writer: StoreWriter) {
    this.#writer = writer;
  }

  /** Takes the next second; throws what writing throws. */
  async add(second: Second): Promise<void> {
    const last = this.#seconds.at(-1);
    if (last && (second.number !== last.number + 1 || this.#seconds.length === CHUNK)) await this.flush();
    this.#seconds.push(second);
  }

  /** Writes what waits for its chunk to fill. */
  async flush(): Promise<void> {
    const seconds = this.#seconds;
    this.#seconds = [];
    if (seconds.length === 0) return;
    const { number } = seconds[0]!;
    const width = seconds[0]!.embedding.length;
    const rows = new Float32Array(seconds.length * width);
    for (const [i, { embedding }] of seconds.entries()) rows.set(embedding, i * width);
    const text = new TextEncoder().encode(JSON.stringify(seconds.map(toldOf)));
    await this.#writer.appendBytes(EMBEDDING_TRACK, number, seconds.length, new Uint8Array(toHalf(rows).buffer));
    await this.#writer.appendBytes(TIMELINE_TRACK, number, seconds.length, text);
  }
}

/** What is kept of a second in words; four decimals tell enough. */
function toldOf({ label, score, changed, distance, change }: Second): Told {
  const short = (value: number) => Math.round(value * 1e4) / 1e4;
  return { label, score: short(score), changed: short(changed), distance: distance && short(distance), change };
}

/** What is called a second takes so long. */
const lengthOfSecond = (fps: StoreDescription["fps"]): number => secondsOf({ fps }, framesOfSecond(fps));

/** A second that looks like another: the cosine of their embeddings, -1 to 1. */
export interface Similar extends Moment {
  readonly similarity: number;
}

/** A time that was printed may lie so much before the one that was meant: half a hundredth of a second, and what halves of it are off in binary. */
const ROUNDED = 0.005 + 1e-6;

/** Seconds on each side of a better result in which there is no other. */
const APART = 2;

/**
 * The seconds most like the one at a time, best first, `count` at most, none of them within two seconds of a better one or of the one that is asked for.
 * One pass over the embeddings, a chunk of them in memory at a time. A time that lies less than half a hundredth before a second means that one, as
 * times are printed in hundredths.
 * @throws "unsupported" for a store without embeddings, "bad-input" for a time where there are none, and what reading throws
 */
export async function findSimilar(reader: StoreReader, time: number, count: number, file: string): Promise<Similar[]> {
  const { tracks, fps } = reader.description;
  const track = tracks.find(({ name }) => name === EMBEDDING_TRACK);
  const numbers = track?.kind === "bytes" ? Number(/^f16\[(\d{1,5})\]/.exec(track.format)?.[1] ?? 0) : 0;
  if (numbers === 0) fail("unsupported", `${file} has no embeddings; make them once: kinema classify ${file} --index`);
  const rows = async function* (from = 0, to?: number) {
    for await (const { first, steps, payload } of reader.chunks(from, to, EMBEDDING_TRACK)) {
      if (payload.byteLength !== 2 * numbers * steps)
        fail("bad-file", `${file}: embeddings from second ${first} on are not ${numbers} numbers each`);
      const values = toFloat32(payload, "F16", EMBEDDING_TRACK);
      for (let i = 0; i < steps; i++) yield { number: first + i, row: values.subarray(i * numbers, (i + 1) * numbers) };
    }
  };
  const end = secondsOf(reader.description, reader.frames);
  if (time >= end) fail("bad-input", `${file} has no embedding at ${time} s; it ends at ${Number(end.toFixed(3))} s`);
  const [exact, rounded] = [time, time + ROUNDED].map((at) => Math.floor(at / lengthOfSecond(fps))) as [number, number];
  let [asked, query] = [rounded, null as Float32Array | null];
  for await (const { number, row } of rows(exact, rounded + 1))
    if (number === exact || number === rounded) [asked, query] = [number, row];
  if (!query)
    return fail("bad-input", `${file} has no embedding at ${time} s: that second is lost, or no step begins in it`);
  const best = new Best((2 * APART + 1) * (count + 1));
  for await (const { number, row } of rows()) {
    let similarity = 0;
    for (let i = 0; i < numbers; i++) similarity += row[i]! * query[i]!;
    best.add({ number, similarity });
  }
  const chosen: Ranked[] = [];
  for (const one of best.list) {
    if (chosen.length === count) break;
    const near = (other: number) => Math.abs(one.number - other) <= APART;
    if (!near(asked) && !chosen.some(({ number }) => near(number))) chosen.push(one);
  }
  const found: Similar[] = [];
  for (const one of chosen) found.push({ ...(await momentAt(reader, one.number)), similarity: one.similarity });
  return found;
}

interface Ranked {
  readonly number: number;
  readonly similarity: number;
}

/** The most similar of all that were added, best first; of equal ones the earlier. */
class Best {
  readonly list: Ranked[] = [];
  readonly #count: number;

  /** A result rules out two seconds on each side, so the best `count` hold every result that so many of them leave. */
  constructor(count: number) {
    this.#count = count;
  }

  add(one: Ranked): void {
    const { list } = this;
    if (list.length === this.#count && one.similarity <= list.at(-1)!.similarity) return;
    let at = list.length;
    while (at > 0 && list[at - 1]!.similarity < one.similarity) at--;
    list.splice(at, 0, one);
    if (list.length > this.#count) list.pop();
  }
}

async function momentAt(reader: StoreReader, number: number): Promise<Moment> {
  const chunk = await reader.chunkAt(number, TIMELINE_TRACK);
  const list: Told[] = chunk ? JSON.parse(new TextDecoder().decode(chunk.payload)) : [];
  const told = list[number - (chunk?.first ?? 0)];
  if (!told)
    return fail("bad-file", `the timeline says nothing of second ${number}; make it again: kinema classify --index`);
  const { frames, description } = reader;
  const second = lengthOfSecond(description.fps);
  const end = secondsOf(description, frames);
  return { number, from: number * second, to: Math.min((number + 1) * second, end), ...told };
}
