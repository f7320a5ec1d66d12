import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { CODES_TRACK, COMPRESSOR_SIZE, codesTrackOf, compressorOf } from "../compressor.ts";
import { fail } from "../core/fail.ts";
import { pageBundle, shippedCompressor } from "../host/bundle.ts";
import { launchBrowser } from "../host/chromium.ts";
import { fileSource } from "../host/file_source.ts";
import type { CompressionInfo, OpenCompressionArgs } from "../host/page/compress.ts";
import { openPage } from "../host/page.ts";
import { nodeStoreFile } from "../host/store_file.ts";
import { packedRate, secondsOf } from "../store/description.ts";
import {
  type Codes,
  createStore,
  resumeStore,
  type StoreDescription,
  type StoreReader,
  type StoreWriter,
} from "../store/index.ts";
import { isUnbegun } from "../store/writer.ts";
import type { ByteSource } from "../weights/byte_source.ts";
import { openCheckpoint } from "../weights/checkpoint.ts";
import { pixelsPerCode } from "../weights/compressor.ts";
import type { Command, CommandContext } from "./command.ts";
import { openNoted } from "./lost.ts";
import { checkPlace } from "./output.ts";
import { reported } from "./progress.ts";

const DEFAULT_RATE = "192";
/** Bytes at each end of a video that tell it from others. */
const END_BYTES = 65536;

/** `kinema compress VIDEO OUT.kvc`. */
export const compressCommand: Command = {
  name: "compress",
  summary: "turn a video into a store of codes",
  positionals: [
    { name: "VIDEO", text: "an .mp4, .mov, .webm or .mkv file" },
    { name: "OUT", text: "the .kvc file; one that was broken off goes on where it ends" },
  ],
  flags: [
    {
      name: "rate",
      value: "RATE",
      allowed: ["30", "192", "384"],
      text: `raw bytes for a byte of codes (default ${DEFAULT_RATE})`,
    },
    {
      name: "size",
      value: "PIXELS",
      allowed: "count",
      text: `side of the centre square that is kept, scaled to so many pixels (default ${COMPRESSOR_SIZE})`,
    },
    { name: "weights", value: "FILE", text: "a compressor of your own, in the place of --rate" },
    { name: "json", text: "print one JSON object" },
  ],
  run: compress,
};

async function compress({ args, signal, progress, print, note }: CommandContext): Promise<void> {
  const [video, out] = [args.positional("VIDEO"), args.positional("OUT")];
  const rate = args.text("rate") ?? DEFAULT_RATE;
  const weights =
    args.text("weights") ??
    shippedCompressor(rate) ??
    fail("usage", `no compressor for rate ${rate}; give --weights FILE, a kinema-compressor .safetensors file`);
  await checkPlace(out, "OUT", [video, weights]);
  const source = await fileSource(video);
  if (source.size === 0) fail("bad-video", `${video} is empty; give a video file`);
  const side = pixelsPerCode(compressorOf(await openCheckpoint(await fileSource(weights))));
  const size = args.number("size") ?? COMPRESSOR_SIZE;
  // Two codes a side at least: reflection needs a neighbour.
  if (size % side !== 0 || size < 2 * side)
    fail(
      "usage",
      `--size ${size}: codes cover ${side} x ${side} pixels; give a multiple of ${side} from ${2 * side} on`,
    );
  const browser = await launchBrowser({ onFirst: note, signal });
  try {
    const page = await openPage(browser, { bundle: pageBundle() });
    const call: OpenCompressionArgs = {
      videoUrl: page.file(video),
      videoName: basename(video),
      weightsUrl: page.file(weights),
      weightsName: weights,
      size,
    };
    const info = await page.call<CompressionInfo>("openCompression", call, {
      signal,
      onProgress: reported(progress.update),
    });
    const description = { ...info.description, sourceHash: await videoHash(source) };
    const writer = await openOutput(out, description, info.steps, note);
    const from = writer.steps(CODES_TRACK);
    if (from > 0) note(`${out}: ${from} of ${info.steps} steps are there; going on`);
    try {
      // What is committed stays readable whatever ends this: a kill loses a chunk at most, Ctrl-C nothing.
      while (writer.steps(CODES_TRACK) < info.steps) {
        const codes = await page.call<Codes | null>("nextCodes", { from }, { signal });
        if (!codes) break;
        await writer.append(codes, CODES_TRACK);
        progress.update("compress", writer.steps(CODES_TRACK) / info.steps);
      }
    } finally {
      await writer.close();
    }
    const made = await compressed(out, info);
    print(args.has("json") ? `${JSON.stringify(made)}\n` : asText(made));
  } finally {
    await browser.close();
  }
}

/** Which file a video is: SHA-256 over its length, its first and its last 64 kB, so that it takes no longer for hours of it. */
export async function videoHash(file: ByteSource): Promise<string> {
  const hash = createHash("sha256").update(`${file.size}\n`);
  for (const at of [0, Math.max(0, file.size - END_BYTES)]) hash.update(await file.read(at, END_BYTES));
  return hash.digest("hex");
}

/** A new store, or one of the same video, which has `steps`, and weights to go on with. */
export async function openOutput(
  path: string,
  description: StoreDescription,
  steps: number,
  note: (line: string) => void = () => {},
): Promise<StoreWriter> {
  const there = await stat(path).catch(() => null);
  const file = await nodeStoreFile(path, there ? {} : { create: "new" });
  try {
    if (await isUnbegun(file, description)) await file.truncate(0);
    if (file.size === 0) return await createStore(file, description);
    // Looked at first: going on with a store cuts off what is torn at its end.
    const held = await openNoted(file, note);
    const other = otherThan(held, description, steps);
    if (other) fail("bad-input", `${path} is there already and holds ${other}; give another name, or remove it`);
    return await resumeStore(file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Why a store is not the beginning of another one of so many steps, as what it holds; null where it may be. */
function otherThan(held: StoreReader, description: StoreDescription, steps: number): string | null {
  // Embeddings are of the codes that were there when they were made; they are no reason not to go on.
  const codesOf = ({ tracks, sourceHash: _, ...video }: StoreDescription) =>
    JSON.stringify({ ...video, tracks: tracks.filter(({ kind }) => kind === "codes") });
  if (codesOf(held.description) !== codesOf(description)) return "other codes";
  const { sourceHash = description.sourceHash } = held.description; // older stores do not say
  if (sourceHash !== description.sourceHash) return "codes of another video, or of a part of it or a changed one";
  const there = held.steps(CODES_TRACK);
  return there > steps ? `${there} steps of codes, more than the ${steps} of the video` : null;
}

/** The JSON of `kinema compress --json`. */
export interface Compressed {
  readonly file: string;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly frames: number;
  readonly seconds: number;
  readonly bytes: number;
  /** Bytes of RGB for a byte of the file, and for one of codes of fixed length. */
  readonly ratio: number;
  readonly packedRatio: number;
  readonly adapter: string;
}

/** What was made. */
export async function compressed(out: string, { adapter, description, steps }: CompressionInfo): Promise<Compressed> {
  const { width, height } = description;
  const { size: bytes } = await stat(out);
  const track = codesTrackOf(description, out);
  const frames = steps * track.stride[0];
  const seconds = secondsOf(description, frames);
  const ratio = (frames * width * height * 3) / bytes;
  const packedRatio = packedRate(description, track);
  return { file: out, width, height, steps, frames, seconds, bytes, ratio, packedRatio, adapter };
}

/** The same in a line. */
export function asText({ file, width, height, seconds, bytes, ratio, packedRatio, adapter }: Compressed): string {
  return `${file}: ${seconds.toFixed(2)} s of ${width} x ${height} in ${(bytes / 1e6).toFixed(3)} MB, raw over file ${ratio.toFixed(0)} (codes of fixed length: ${packedRatio.toFixed(0)}); on ${adapter}\n`;
}
