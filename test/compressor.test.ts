// The compressors that ship, against PyTorch: every layer, every code, and the picture.
import { existsSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { compareTensors, stridesOf } from "../src/compare.ts";
import {
  compressorOf,
  FrameEncoder,
  openCompressor,
  quantiserHash,
  rational,
  runCodes,
  storeCodes,
} from "../src/compressor.ts";
import { countMacs, GraphBuilder } from "../src/core/graph.ts";
import { channels, extent, tensor, toChannelsFirst } from "../src/core/tensor.ts";
import { embedCodes, quantise } from "../src/models/codebooks.ts";
import { buildCompressorDecoder } from "../src/models/compressor.ts";
import { readTensors } from "../src/run.ts";
import { createSession, Session } from "../src/session.ts";
import { FrameIngest } from "../src/video/ingest.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { codebookCount, codebookSize, compressionRate, pixelsPerCode } from "../src/weights/compressor.ts";
import type { Quantiser } from "../src/weights/types.ts";
import { Random } from "./cases/random.ts";
import { useGpu } from "./gpu.ts";

const open = (file: string): Promise<Checkpoint> =>
  openCheckpoint(fromBytes(new Uint8Array(readFileSync(new URL(`../${file}`, import.meta.url))), file));

const [FRAMES, HEIGHT, WIDTH] = [8, 128, 192];

/** `pattern()` of tools/train/compressor_export.py: moving triangle waves in whole numbers, as bytes over 255. */
function pattern(frames: number): Float32Array<ArrayBuffer> {
  const wave = (v: number) => Math.abs((v & 511) - 255) & 255;
  const out = new Float32Array(frames * HEIGHT * WIDTH * 3);
  let at = 0;
  for (let t = 0; t < frames; t++)
    for (let y = 0; y < HEIGHT; y++)
      for (let x = 0; x < WIDTH; x++) {
        out[at++] = wave(3 * x + y + 7 * t) / 255;
        out[at++] = wave(((x * y) >> 4) + 5 * t) / 255;
        out[at++] = wave(2 * x + 5 * y + ((x * y) >> 6) - 3 * t) / 255;
      }
  return out;
}

const fixture = useGpu();

/** Every layer that the session has of the golden file's, in PyTorch's order, and its outputs. */
async function layers(session: Session, golden: Checkpoint, feeds: Record<string, Float32Array<ArrayBuffer>>) {
  const { graph } = session.plan;
  const outputs = Object.values(graph.outputs);
  const tapped = graph.values.filter(
    (value) => value.kind === "temp" && golden.tensors.has(value.name) && !outputs.includes(value),
  );
  const got = await session.run(feeds, { tap: tapped.map(({ name }) => name) });
  const named = [...tapped, ...outputs.filter((value) => golden.tensors.has(value.name))].map((value) => {
    const key = Object.keys(graph.outputs).find((name) => graph.outputs[name] === value) ?? value.name;
    const [frames, height, width] = [0, 1, 2].map((axis) => extent(value.spec, axis)) as [number, number, number];
    const data = toChannelsFirst(got[key]!, [frames, height, width, channels(value.spec)]);
    return [value.name, { shape: [frames, channels(value.spec), height, width], data }] as const;
  });
  return { tensors: new Map(named), got };
}

describe.each(["30", "192", "384"])("the compressor for rate %s", (rate) => {
  let weights: Checkpoint;
  let golden: Checkpoint;
  beforeAll(async () => {
    [weights, golden] = await Promise.all([
      open(`weights/kinema-compressor-${rate}.safetensors`),
      open(`test/golden/models/kinema-compressor-${rate}.safetensors`),
    ]);
  });

  it("says what it is: rate, strides, quantiser; in at most 2 MB and 0.3 GMAC a decoded frame", () => {
    const shape = compressorOf(weights);
    expect(JSON.parse(weights.metadata.stride!)).toEqual([shape.time, pixelsPerCode(shape), pixelsPerCode(shape)]);
    expect(Number(weights.metadata.compression_rate)).toBeCloseTo(compressionRate(shape), 1);
    expect(compressionRate(shape) / Number(rate)).toBeGreaterThan(0.95);
    expect(compressionRate(shape) / Number(rate)).toBeLessThan(1.05);
    expect(weights.size).toBeLessThanOrEqual(2e6);
    // What a decoded frame of 256 x 256 costs.
    const { graph } = openCompressor(weights, "decoder", { frames: 2, height: 256, width: 256 });
    expect(countMacs(graph) / 2).toBeLessThanOrEqual(0.3e9);
  });

  it("agrees with PyTorch in every layer, from picture to vectors and from codes to picture", async () => {
    const shape = compressorOf(weights);
    const want = await readTensors(golden);
    const size = { frames: 2, height: HEIGHT, width: WIDTH };
    const encoder = openCompressor(weights, "encoder", size);
    const decoder = openCompressor(weights, "decoder", size);
    using first = await createSession(fixture.gpu, encoder.graph, encoder.weights);
    using second = await createSession(fixture.gpu, decoder.graph, decoder.weights);
    const encoded = await layers(first, golden, { image: pattern(2) });
    const codes = want.get("codes")!;
    const [, books, rows, columns] = codes.shape as [number, number, number, number];
    const steps = 2 / shape.time;
    const given = runCodes(
      Uint32Array.from(codes.data.subarray(0, steps * books * rows * columns)),
      books,
      rows * columns,
    );
    const decoded = await layers(second, golden, { codes: given });
    const of = stridesOf(golden.metadata);
    const tensors = new Map([...encoded.tensors, ...decoded.tensors]);
    expect([...tensors.keys()].sort()).toEqual([...golden.tensors.keys()].filter((name) => name !== "codes").sort());
    expect(
      compareTensors(tensors, new Map([...want].filter(([name]) => name !== "codes")), of).filter(({ ok }) => !ok),
    ).toEqual([]);
    // An absolute bound as well: pictures are numbers from 0 to 1.
    for (const { name, max } of compareTensors(tensors, want, of).filter(({ name }) => name.startsWith("decoder.conv")))
      expect(max, name).toBeLessThanOrEqual(1e-3);
  }, 60_000);

  it("finds PyTorch's codes on 99.9 % of the sites", async () => {
    const { graph, weights: tensors } = openCompressor(weights, "encoder", {
      frames: FRAMES,
      height: HEIGHT,
      width: WIDTH,
    });
    using session = await createSession(fixture.gpu, graph, tensors);
    const { codes } = await session.run({ image: pattern(FRAMES) });
    const { quantiser } = compressorOf(weights);
    const want = (await readTensors(golden, ["codes"])).get("codes")!;
    const [, books, rows, columns] = want.shape as [number, number, number, number];
    const bits = Math.ceil(Math.log2(codebookSize(quantiser)));
    const got = storeCodes(codes!, books, rows * columns, bits);
    expect(got.length).toBe(want.data.length);
    expect(new Set(got).size).toBeGreaterThan(40);
    const same = want.data.filter((code, i) => code === got[i]).length;
    expect(same / got.length).toBeGreaterThanOrEqual(0.999);
  }, 60_000);
});

describe("quantisers on the device", () => {
  it("VQ agrees with f64 on 99.9 % of 4,096 vectors; where it does not, the distances are a thousandth apart at most", async () => {
    const [count, q] = [4096, { kind: "vq", codes: 256, dim: 8, codebooks: 1 }] as const;
    const random = new Random(7);
    const [z, book] = [random.normal(count, q.dim), random.normal(q.codes, q.dim)];
    const g = new GraphBuilder("vq");
    g.output("codes", quantise(g, "nearest", g.input("z", tensor(1, 64, 64, q.dim)), q, "book"));
    using session = await createSession(fixture.gpu, g.build(), new Map([["book", book]]));
    const { codes } = await session.run({ z });
    const distance = (row: number, code: number) => {
      let sum = 0;
      for (let i = 0; i < q.dim; i++) sum += (z[row * q.dim + i]! - book[code * q.dim + i]!) ** 2;
      return sum;
    };
    let equal = 0;
    for (let row = 0; row < count; row++) {
      const distances = Array.from({ length: q.codes }, (_, code) => distance(row, code));
      const best = Math.min(...distances);
      if (distances.indexOf(best) === codes![row]) equal++;
      expect((distances[codes![row]!]! - best) / best).toBeLessThan(1e-3);
    }
    expect(equal / count).toBeGreaterThanOrEqual(0.999);
  });

  it.each([[[8, 6, 5]], [[16, 8, 8, 8]], [[2, 3, 4]]])(
    "FSQ levels %j: every code decodes to a vector that encodes to it",
    async (levels) => {
      const count = levels.reduce((a, b) => a * b, 1);
      const q = { kind: "fsq", levels } as const;
      const identity = Float32Array.from({ length: levels.length ** 2 }, (_, i) =>
        i % (levels.length + 1) === 0 ? 1 : 0,
      );
      const there = new GraphBuilder("decode");
      const codes = there.input("codes", tensor(1, 1, count, 1));
      const projection = { weight: "w", bias: "b", out: levels.length };
      there.output("values", embedCodes(there, "values", codes, q, "", projection));
      const weights = new Map([
        ["w", identity],
        ["b", new Float32Array(levels.length)],
      ]);
      using decoder = await createSession(fixture.gpu, there.build(), weights);
      const all = Float32Array.from({ length: count }, (_, i) => i);
      const { values } = await decoder.run({ codes: all });
      expect(
        new Set(
          Array.from({ length: count }, (_, i) => values!.slice(i * levels.length, (i + 1) * levels.length).join()),
        ).size,
      ).toBe(count);
      // A digit in the middle of its range: the bound of the encoder (kernels/fsq.wgsl), inverted.
      const z = values!.map((value, i) => {
        const level = levels[i % levels.length]!;
        const [half, offset] = [((level - 1) * 1.001) / 2, level % 2 === 0 ? 0.5 : 0];
        return Math.atanh((value * Math.floor(level / 2) + offset) / half) - Math.atanh(offset / half);
      });
      const back = new GraphBuilder("encode");
      back.output("codes", quantise(back, "codes", back.input("z", tensor(1, 1, count, levels.length)), q, ""));
      using encoder = await createSession(fixture.gpu, back.build(), new Map());
      expect((await encoder.run({ z })).codes).toEqual(all);
    },
  );

  it("decodes a store's packed words as it decodes numbers, bit for bit", async () => {
    const file = await open("weights/kinema-compressor-192.safetensors");
    const size = { frames: 2, height: 24, width: 40 };
    // [1, 3, 5, 2 codebooks], and as a chunk has them: a plane of 15 bytes, whole words, for each codebook.
    const codes = Float32Array.from({ length: 30 }, (_, i) => (i * 89 + 3) % 256);
    const words = new Uint32Array(8);
    for (const [i, code] of codes.entries()) {
      const [site, book] = [i >> 1, i & 1];
      words[4 * book + (site >> 2)]! |= code << (8 * (site & 3));
    }
    const plain = openCompressor(file, "decoder", size);
    using numbers = await createSession(fixture.gpu, plain.graph, plain.weights);
    const packed = buildCompressorDecoder({ shape: compressorOf(file), ...size, packedBits: 8 });
    using bits = await createSession(fixture.gpu, packed, plain.weights);
    const image = (await bits.run({ codes: new Float32Array(words.buffer) })).image!;
    expect(image).toEqual((await numbers.run({ codes })).image);
    expect(new Set(image).size).toBeGreaterThan(100);
  }, 60_000);
});

describe("an encoder of frames", () => {
  const size = 32;
  const picture = (seed: number) => {
    const data = Uint8Array.from({ length: size * size * 4 }, (_, i) => (Math.imul(i + seed, 2654435761) >>> 24) & 255);
    return { width: size, height: size, data };
  };

  it("has no place for a frame that it refuses", async () => {
    const options = { frames: 2, size };
    using encoder = await FrameEncoder.create(
      fixture.gpu,
      await open("weights/kinema-compressor-30.safetensors"),
      options,
    );
    expect(await encoder.push(picture(1))).toBeNull();
    const want = await encoder.push(picture(2));
    expect(await encoder.push(picture(1))).toBeNull();
    const none = { width: 0, height: 0, data: new Uint8Array(0) };
    await expect(encoder.push(none)).rejects.toMatchObject({ code: "bad-input" });
    expect(await encoder.push(picture(2))).toEqual(want);
    expect(want!.some((code) => code !== want![0])).toBe(true);
  });

  it("leaves no session behind when its ingest fails", async () => {
    const checkpoint = await open("weights/kinema-compressor-30.safetensors");
    const dispose = vi.spyOn(Session.prototype, "dispose");
    vi.spyOn(FrameIngest, "create").mockRejectedValueOnce(new Error("no ingest"));
    try {
      await expect(FrameEncoder.create(fixture.gpu, checkpoint, { frames: 2, size })).rejects.toThrow("no ingest");
      expect(dispose).toHaveBeenCalledTimes(1);
    } finally {
      vi.restoreAllMocks();
    }
  });
});

describe("rates and codes", () => {
  it("CR is the paper's, for six configurations", () => {
    const vq = (codes: number, codebooks = 1): Quantiser => ({ kind: "vq", codes, dim: 4, codebooks });
    const fsq = (...levels: number[]): Quantiser => ({ kind: "fsq", levels });
    // compressed-vision.md 1.3: strides, codebooks -> rate.
    const rates: [time: 1 | 2, layers: number, Quantiser, rate: number][] = [
      [1, 3, vq(256), 192],
      [1, 4, vq(8192, 2), 236.3],
      [2, 3, vq(256), 384],
      [1, 4, vq(256), 768],
      [1, 2, fsq(16, 8, 8, 8), 29.5],
      [1, 4, fsq(16, 8, 8, 8), 472.6],
    ];
    for (const [time, layers, quantiser, rate] of rates) {
      const found = compressionRate({ time, layers, quantiser });
      expect(Math.abs(found - rate), `${found} for ${rate}`).toBeLessThan(0.05);
    }
    expect(codebookCount(vq(8, 3))).toBe(3);
  });

  it("codes go to a store's order and back, one and several codebooks", () => {
    for (const [books, bits] of [
      [1, 8],
      [3, 13],
      [2, 18],
    ] as const) {
      const codes = Float32Array.from({ length: 4 * 6 * books }, (_, i) => (i * 37) % 2 ** bits);
      const stored = storeCodes(codes, books, 6, bits);
      expect(stored.BYTES_PER_ELEMENT).toBe(bits <= 8 ? 1 : bits <= 16 ? 2 : 4);
      expect(runCodes(stored, books, 6)).toEqual(codes);
      // [steps, sites, books] -> [steps, books, sites]
      expect(stored[6 * (books - 1)]).toBe(codes[books - 1]);
    }
  });

  it("frame rates are fractions", () => {
    expect(rational(25)).toEqual([25, 1]);
    expect(rational(29.97)).toEqual([30000, 1001]);
    expect(rational(30.0001)).toEqual([30, 1]);
    expect(rational(23.976)).toEqual([24000, 1001]);
    expect(rational(12.5)).toEqual([12500, 1000]);
    expect(rational(0)).toEqual([1, 1]);
  });

  it("the quantiser's hash is of codebook and decoder: another weight is another hash, another encoder is not", async () => {
    const file = "weights/kinema-compressor-192.safetensors";
    const bytes = new Uint8Array(readFileSync(new URL(`../${file}`, import.meta.url)));
    const whole = await openCheckpoint(fromBytes(bytes, file));
    const hash = await quantiserHash(whole);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    const changed = async (name: string) => {
      const copy = bytes.slice();
      copy[whole.tensors.get(name)!.offset!]! ^= 1;
      return quantiserHash(await openCheckpoint(fromBytes(copy, file)));
    };
    expect(await changed("encoder.conv.0.weight")).toBe(hash);
    for (const name of ["quantiser.codebook", "project_out.bias", "decoder.conv.2.weight"])
      expect(await changed(name), name).not.toBe(hash);
  });

  it("a file of another model is refused, and says so", async () => {
    const other = await open("weights/kinema-motion.safetensors");
    expect(() => compressorOf(other)).toThrow(/no compressor/);
    expect(existsSync(new URL("../weights/compressor.md", import.meta.url))).toBe(true);
  });
});
