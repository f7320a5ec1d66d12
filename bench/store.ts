// node tools/run.mjs bench/store.ts FILE.kvc [--track NAME]: what rANS makes of a store's codes, and how fast, beside packed.
import { fileSource } from "../src/host/file_source.ts";
import { decodeChunk, encodeChunk } from "../src/store/codec.ts";
import type { CodesTrack } from "../src/store/description.ts";
import { openStore } from "../src/store/index.ts";

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
const sum = { codes: 0, same: 0, packed: 0, rans: 0, encoding: 0, decoding: 0, unpacking: 0, chunks: 0 };
for await (const chunk of reader.chunks(0, undefined, track.name)) {
  const codes = chunk.codes();
  const began = clock();
  const rans = encodeChunk(track, codes, "rans");
  const encoded = clock();
  decodeChunk(track, rans.codec, rans.payload, chunk.steps);
  const decoded = clock();
  const packed = encodeChunk(track, codes, "packed");
  const between = clock();
  decodeChunk(track, packed.codec, packed.payload, chunk.steps);
  sum.unpacking += clock() - between;
  sum.encoding += encoded - began;
  sum.decoding += decoded - encoded;
  sum.codes += codes.length;
  sum.same += (1 - chunk.change.mean) * codes.length;
  sum.packed += packed.payload.byteLength;
  sum.rans += rans.payload.byteLength;
  if (++sum.chunks === MOST_CHUNKS) break;
}

const rate = (seconds: number) => `${(sum.packed / 1e6 / seconds).toFixed(1)} MB/s`;
console.log(`${path}, track ${track.name}: ${sum.chunks} chunks, ${sum.codes} codes`);
console.log(`as the step before   ${((100 * sum.same) / sum.codes).toFixed(1)} %`);
console.log(`packed               ${((8 * sum.packed) / sum.codes).toFixed(3)} bits a code`);
console.log(
  `rANS                 ${((8 * sum.rans) / sum.codes).toFixed(3)} bits a code, ${(100 * (1 - sum.rans / sum.packed)).toFixed(1)} % smaller`,
);
console.log(
  `of packed bytes      encoding ${rate(sum.encoding)}, decoding ${rate(sum.decoding)}, unpacking ${rate(sum.unpacking)}`,
);
