/** A chunk's codes as bytes and back, by the codec that its header names. */

import {
  bitsOf,
  type Codes,
  type CodesTrack,
  codesArray,
  codesPerStep,
  MAX_CODES_PER_CHUNK,
  sitesOf,
} from "./description.ts";
import { CODEC, type CodecName } from "./layout.ts";
import { CodeModel } from "./model.ts";
import { pack, packedWords, unpack } from "./packed.ts";
import { RansDecoder, RansEncoder } from "./rans.ts";

/** Words of a chunk in packed form, all codebooks. */
export const chunkWords = (track: CodesTrack, steps: number): number =>
  track.codebooks.reduce((sum, codebook) => sum + packedWords(steps * sitesOf(track), bitsOf(codebook)), 0);

/** Encodes `steps` steps; "rans" falls back to "packed" where it would be longer. */
export function encodeChunk(track: CodesTrack, codes: Codes, codec: CodecName): { codec: number; payload: Uint8Array } {
  const steps = codes.length / codesPerStep(track);
  const packedBytes = 4 * chunkWords(track, steps);
  const entropy = codec === "rans" ? encodeRans(track, codes) : null;
  if (entropy && entropy.byteLength < packedBytes) return { codec: CODEC.rans, payload: entropy };
  return { codec: CODEC.packed, payload: bytesOf(packChunk(track, codes)) };
}

/** Codes in packed form: per codebook a plane [steps, rows, columns], each from a whole word. */
export function packChunk(track: CodesTrack, codes: Codes): Uint32Array<ArrayBuffer> {
  const steps = codes.length / codesPerStep(track);
  const words = new Uint32Array(chunkWords(track, steps));
  let at = 0;
  for (const [plane, codebook] of track.codebooks.entries()) {
    const bits = bitsOf(codebook);
    const count = packedWords(steps * sitesOf(track), bits);
    pack(planeOf(track, codes, plane), bits, words.subarray(at, at + count));
    at += count;
  }
  return words;
}

/** The reverse of packChunk. */
export function unpackChunk(track: CodesTrack, words: Uint32Array, steps: number): Codes {
  const codes = codesArray(track, steps * codesPerStep(track));
  let at = 0;
  for (const [plane, codebook] of track.codebooks.entries()) {
    const bits = bitsOf(codebook);
    const count = packedWords(steps * sitesOf(track), bits);
    const values = track.codebooks.length === 1 ? codes : codesArray(track, steps * sitesOf(track));
    unpack(words.subarray(at, at + count), bits, values);
    if (values !== codes) setPlane(track, codes, plane, values);
    at += count;
  }
  return codes;
}

/** Decodes a payload; null for bytes that cannot be one of `steps` steps, or hold a code beyond its codebook. */
export function decodeChunk(track: CodesTrack, codec: number, payload: Uint8Array, steps: number): Codes | null {
  if (steps * codesPerStep(track) > MAX_CODES_PER_CHUNK) return null;
  if (codec === CODEC.packed) {
    if (payload.byteLength !== 4 * chunkWords(track, steps)) return null;
    const codes = unpackChunk(track, wordsOf(payload), steps);
    return firstBeyond(track, codes) < 0 ? codes : null;
  }
  return codec === CODEC.rans ? decodeRans(track, payload, steps) : null;
}

const models = new WeakMap<CodesTrack, readonly CodeModel[]>();

/** The models of a track's codebooks; their tables are made once. */
function modelsOf(track: CodesTrack): readonly CodeModel[] {
  const made = models.get(track) ?? track.codebooks.map((codebook) => new CodeModel(codebook, track.grid));
  models.set(track, made);
  return made;
}

function encodeRans(track: CodesTrack, codes: Codes): Uint8Array {
  const coder = new RansEncoder();
  for (const [plane, model] of modelsOf(track).entries()) model.run(coder, planeOf(track, codes, plane));
  return coder.finish();
}

function decodeRans(track: CodesTrack, payload: Uint8Array, steps: number): Codes | null {
  const coder = new RansDecoder(payload);
  const codes = codesArray(track, steps * codesPerStep(track));
  for (const [plane, model] of modelsOf(track).entries()) {
    const values = planeOf(track, codes, plane);
    model.run(coder, values);
    if (values !== codes) setPlane(track, codes, plane, values);
  }
  return coder.ended && firstBeyond(track, codes) < 0 ? codes : null;
}

/** Index of the first code that is not in its codebook, or -1. */
export function firstBeyond(track: CodesTrack, codes: Codes): number {
  const sites = sitesOf(track);
  const sizes = track.codebooks.map(({ size }) => size);
  if (sizes.every((size) => size === 2 ** (8 * codes.BYTES_PER_ELEMENT))) return -1;
  for (let start = 0, plane = 0; start < codes.length; start += sites, plane = (plane + 1) % sizes.length) {
    const size = sizes[plane]!;
    for (let i = start; i < start + sites; i++) if (codes[i]! >= size) return i;
  }
  return -1;
}

/** Codes of one codebook, [steps, rows, columns]. */
function planeOf(track: CodesTrack, codes: Codes, plane: number): Codes {
  if (track.codebooks.length === 1) return codes;
  const [sites, stride] = [sitesOf(track), codesPerStep(track)];
  const values = codesArray(track, codes.length / track.codebooks.length);
  for (let to = 0, from = plane * sites; to < values.length; to += sites, from += stride) {
    values.set(codes.subarray(from, from + sites), to);
  }
  return values;
}

function setPlane(track: CodesTrack, codes: Codes, plane: number, values: Codes): void {
  const [sites, stride] = [sitesOf(track), codesPerStep(track)];
  for (let from = 0, to = plane * sites; from < values.length; from += sites, to += stride) {
    codes.set(values.subarray(from, from + sites), to);
  }
}

const bytesOf = (words: Uint32Array): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

/** Bytes as words, without a copy where they are aligned. */
export function wordsOf(bytes: Uint8Array): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 2);
}
