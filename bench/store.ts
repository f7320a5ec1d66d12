// node tools/run.mjs bench/store.ts FILE.kvc [--track NAME]: what rANS makes of a store's codes, and how fast, beside packed.
import { fileSource } from "../src/host/file_source.ts";
import { decodeChunk, encodeChunk } from "../src/store/codec.ts";
import { type Codes, type CodesTrack, openStore } from "../src/store/index.ts";
import type { CodecName } from "../src/store/layout.ts";

const [path, flag, name] = process.argv.slice(2);
if (!path || (flag !== undefined && (flag !== "--track" || !name))) {
  console.error("usage: node tools/run.mjs bench/store.ts FILE.kvc [--track NAME]");
  process.exit(2);
}
const MOST_CHUNKS = 200;

const reader = await openStore(await fileSource(path));
const described = reader.description.tracks.find(
  (track) => track.kind === "codes" && (name ?? track.name) === track.name,
);
if (!described) throw new Error(`${path} has no such track of codes`);
const track = described as CodesTrack;

/** Processor time of this process in seconds: other programs on the machine do not count. */
const clock = () => process.cpuUsage().user / 1e6;
const ROUNDS = 5; // the median counts; the first, in which the code is compiled, is left out

const chunks: { readonly codes: Codes; readonly steps: number; readonly change: number }[] = [];
for await (const chunk of reader.chunks(0, undefined, track.name)) {
  chunks.push({ codes: chunk.codes(), steps: chunk.steps, change: chunk.change.mean });
  if (chunks.length === MOST_CHUNKS) break;
}
const codes = chunks.reduce((sum, chunk) => sum + chunk.codes.length, 0);
const same = chunks.reduce((sum, chunk) => sum + (1 - chunk.change) * chunk.codes.length, 0);

/** Bytes of all chunks in a codec, and how long it takes to write and to read them. */
function measure(codec: CodecName): { readonly bytes: number; readonly encoding: number; readonly decoding: number } {
  const [encoding, decoding]: [number[], number[]] = [[], []];
  let bytes = 0;
  for (let round = 0; round <= ROUNDS; round++) {
    const began = clock();
    const written = chunks.map((chunk) => encodeChunk(track, chunk.codes, codec));
    const between = clock();
    for (const [i, chunk] of written.entries()) decodeChunk(track, chunk.codec, chunk.payload, chunks[i]!.steps);
    if (round > 0) encoding.push(between - began);
    if (round > 0) decoding.push(clock() - between);
    bytes = written.reduce((sum, { payload }) => sum + payload.byteLength, 0);
  }
  const median = (values: number[]) => values.sort((x, y) => x - y)[ROUNDS >> 1]!;
  return { bytes, encoding: median(encoding), decoding: median(decoding) };
}

const [packed, rans] = [measure("packed"), measure("rans")];
const bits = ({ bytes }: { readonly bytes: number }) => `${((8 * bytes) / codes).toFixed(3)} bits a code`;
const rate = (seconds: number) =>
  `${(packed.bytes / 1e6 / seconds).toFixed(1)} MB/s, ${(codes / 1e6 / seconds).toFixed(1)} M codes/s`;
console.log(`${path}, track ${track.name}: ${chunks.length} chunks, ${codes} codes`);
console.log(`as the step before   ${((100 * same) / codes).toFixed(1)} %`);
console.log(`packed               ${bits(packed)}`);
console.log(`rANS                 ${bits(rans)}, ${(100 * (1 - rans.bytes / packed.bytes)).toFixed(1)} % smaller`);
console.log(`of packed bytes      encoding  ${rate(rans.encoding)}`);
console.log(`                     decoding  ${rate(rans.decoding)}`);
console.log(`                     packing   ${rate(packed.encoding)}`);
console.log(`                     unpacking ${rate(packed.decoding)}`);
