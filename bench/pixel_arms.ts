// Three ways to a class, in turns on one adapter: from codes; from codes through pixels; from pixels. The backbone is the same.
import { join } from "node:path";
import { type CodesClassifier, openMotionCodes } from "../src/codes_classifier.ts";
import { openCompressor, rateOf, runCodes } from "../src/compressor.ts";
import { fail } from "../src/core/fail.ts";
import { type Graph, GraphBuilder, wantedTensors } from "../src/core/graph.ts";
import { elements, tensor } from "../src/core/tensor.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { fileSource } from "../src/host/file_source.ts";
import { conv, convFilters } from "../src/models/filters.ts";
import { addBackbone, buildMotionCodes, codesPerSite } from "../src/models/motion_codes.ts";
import { conv3d, LINEAR, pad, RELU } from "../src/ops/index.ts";
import { createSession, type Feed, type Session } from "../src/session.ts";
import { stepRate } from "../src/store/description.ts";
import type { CodesTrack, StoreReader } from "../src/store/index.ts";
import { stepsBetween } from "../src/timeline.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { openTensors } from "../src/weights/load.ts";
import { MOTION_CODES, recogniseMotionCodes } from "../src/weights/motion_codes.ts";
import type { MotionCodesShape, Quantiser } from "../src/weights/types.ts";
import { randomFile } from "./random_file.ts";
import { median } from "./rival/compare.ts";

/** A way to a class and its time for a second of video: wall clock and processor, the medians of the rounds. */
export interface ArmTiming {
  readonly name: string;
  readonly ms: number;
  readonly cpu: number;
  /** Times as long as the first arm took in the same round, medians too. */
  readonly ratio: { readonly ms: number; readonly cpu: number };
}

/** Steps of a run, two frames each. */
const STEPS = 24;
const FRAMES = 2 * STEPS;
const CLASSES = 16;

/** An s3d of the shipped sizes with random weights that reads the codes of a track. */
export function randomNetwork({ codebooks, quantiser, stride }: CodesTrack): Promise<Checkpoint> {
  const [{ kind, size, dim, levels }] = codebooks as [CodesTrack["codebooks"][0]];
  const parts: Quantiser =
    kind === "vq" ? { kind, codes: size, dim, codebooks: codebooks.length } : { kind, levels: levels! };
  const sizes = { widths: [32, 64, 128], blocks: [1, 1, 1] };
  const shape: MotionCodesShape = {
    backbone: "s3d",
    ...sizes,
    classes: CLASSES,
    quantiser: parts,
    fine: stride[0] === 1 ? 16 : null,
  };
  const wanted = wantedTensors(buildMotionCodes({ shape, steps: 1, rows: 8, columns: 8 }));
  for (const name of ["embedding.mean", "embedding.scale"]) wanted.set(name, [64 + 128]);
  const metadata = {
    model: MOTION_CODES,
    backbone: "s3d",
    quantiser,
    network: JSON.stringify({ ...sizes, parts }),
    rate: "random",
  };
  return openCheckpoint(randomFile("random weights", wanted, metadata));
}

/** `image` [frames, height, width, 3] -> the outputs of a network on codes: three 4x4 convolutions of stride 2, the last over both frames of a step. */
function buildPixels(shape: MotionCodesShape, height: number, width: number): Graph {
  const g = new GraphBuilder("motion-pixels");
  let x = g.input("image", tensor(FRAMES, height, width, 3));
  const layers = [
    [3, 16, 1],
    [16, 32, 1],
    [32, shape.widths[0]!, 2],
  ] as const;
  for (const [i, [input, out, frames]] of layers.entries()) {
    const [kernel, stride] = [[frames, 4, 4] as const, [frames, 2, 2] as const];
    const names = { weight: `stem.layers.${i}.weight`, bias: `stem.layers.${i}.bias` };
    const filters = convFilters(g, `stem.${i}`, conv(input, out, kernel), names);
    const activation = i < layers.length - 1 ? RELU : LINEAR;
    const window = { out, kernel, stride, padding: { ...pad(1), front: 0, back: 0 }, activation };
    x = g.apply(conv3d, `stem.${i}`, { x, ...filters }, window).y!;
  }
  addBackbone(g, x, shape, true);
  return g.build();
}

interface Arm {
  readonly name: string;
  run(): Promise<unknown>;
}

/**
 * The file of the compressor that decodes a track, in a folder of those that ship.
 * @throws "unsupported" for codes of another compressor, "bad-input" for fewer than fill a run
 */
export function decoderFile(
  store: StoreReader,
  track: CodesTrack,
  shape: MotionCodesShape,
  { folder, source }: { readonly folder: string; readonly source: string },
): string {
  const rate = rateOf(track);
  if (rate === null)
    fail("unsupported", `${source} is of ${track.model}; the bench decodes what the compressors of weights/ wrote`);
  const [steps, wanted] = [store.steps(track.name), STEPS * codesPerSite(shape)];
  if (steps < wanted)
    fail("bad-input", `${source} has ${steps} steps of codes, a run of the bench takes ${wanted}; give a longer one`);
  return join(folder, `kinema-compressor-${rate}.safetensors`);
}

/**
 * Codes lie in memory, pixels on the GPU, for nothing: what reading and entropy decoding take is in the hour's own time, what decoding a video takes is
 * not counted at all.
 */
export async function timeArms(
  gpu: Gpu,
  checkpoint: Checkpoint,
  store: StoreReader,
  track: CodesTrack,
  classifier: Pick<CodesClassifier, "fps" | "stepsOfTrack">,
  { compressor, rounds }: { readonly compressor: string; readonly rounds: number },
): Promise<ArmTiming[]> {
  const shape = recogniseMotionCodes(checkpoint)!;
  const { width, height } = store.description;
  const [rows, columns] = track.grid;
  const sessions: Session[] = [];
  const made = async (session: Promise<Session>) => {
    sessions.push(await session);
    return sessions.at(-1)!;
  };
  try {
    const onCodes = openMotionCodes(checkpoint, { steps: STEPS, rows, columns, stream: true }, shape);
    const codes = await made(createSession(gpu, onCodes.graph, onCodes.weights));
    const graph = buildPixels(shape, height, width);
    const wanted = wantedTensors(graph);
    const random = await openCheckpoint(randomFile("random pixels", wanted, {}));
    const names = new Map([...wanted.keys()].map((name) => [name, name]));
    const pixels = await made(createSession(gpu, graph, openTensors(random, wanted, names)));
    const half = openCompressor(await openCheckpoint(await fileSource(compressor)), "decoder", {
      frames: FRAMES,
      height,
      width,
    });
    const decoder = await made(createSession(gpu, half.graph, half.weights));
    const stored = await store.read(0, STEPS * codesPerSite(shape), track.name);
    const feed = runCodes(stored, track.codebooks.length, rows * columns);
    const decoded: Feed = (encoder, target) => {
      decoder.encode(encoder);
      const { buffer, offset, size } = decoder.range("image");
      encoder.copyBufferToBuffer(buffer, offset, target.buffer, target.offset, size);
    };
    const arms: Arm[] = [
      { name: "codes -> class", run: () => codes.run({ codes: feed }) },
      {
        name: "codes -> pixels -> class",
        run: () => {
          writeCodes(decoder, feed);
          return pixels.run({ image: decoded });
        },
      },
      { name: "pixels -> class", run: () => pixels.run({ image: () => {} }) },
    ];
    const runs = stepRate(store.description, track) / stepsBetween(store.description, classifier) / STEPS;
    return (await inTurns(arms, rounds)).map((arm) => ({ ...arm, ms: arm.ms * runs, cpu: arm.cpu * runs }));
  } finally {
    for (const session of sessions) session.dispose();
  }
}

/** Numbers [rows, codebooks] where the decoder reads them, a row padded to four. */
function writeCodes(decoder: Session, feed: Float32Array): void {
  const { spec } = decoder.plan.graph.inputs.codes!;
  const books = spec.shape.at(-1)!;
  const { buffer, offset, size } = decoder.range("codes");
  const padded = new Float32Array(size / 4);
  const stride = padded.length / (elements(spec) / books);
  for (let i = 0; i < feed.length; i++) padded[Math.floor(i / books) * stride + (i % books)] = feed[i]!;
  decoder.gpu.device.queue.writeBuffer(buffer, offset, padded);
}

/** Each arm once a round, the order turning by one; a round before the first is not counted. */
async function inTurns(arms: readonly Arm[], rounds: number): Promise<ArmTiming[]> {
  const times = arms.map(() => ({ ms: [] as number[], cpu: [] as number[] }));
  for (let round = -1; round < rounds; round++)
    for (let i = 0; i < arms.length; i++) {
      const at = (((i + round) % arms.length) + arms.length) % arms.length;
      const [start, before] = [performance.now(), process.cpuUsage()];
      await arms[at]!.run();
      const { user, system } = process.cpuUsage(before);
      if (round < 0) continue;
      times[at]!.ms.push(performance.now() - start);
      times[at]!.cpu.push((user + system) / 1000);
    }
  const ratio = (i: number, clock: "ms" | "cpu") =>
    median(times[i]![clock].map((time, round) => time / times[0]![clock][round]!));
  return arms.map(({ name }, i) => ({
    name,
    ms: median(times[i]!.ms),
    cpu: median(times[i]!.cpu),
    ratio: { ms: ratio(i, "ms"), cpu: ratio(i, "cpu") },
  }));
}
