// Changes of pictures that act on their codes: the augmentation network, its file, and a session of it.
import { compressorOf, quantiserHash, runCodes } from "./compressor.ts";
import { fail } from "./core/fail.ts";
import { type Graph, type TensorSource, wantedTensors } from "./core/graph.ts";
import type { Gpu } from "./gpu/device.ts";
import { described, resampled, type Sites, type Transform } from "./latent_transform.ts";
import { buildAugmenter, DESCRIPTION } from "./models/augment.ts";
import { CODEBOOK } from "./models/codebooks.ts";
import { createSession, type RunOptions, type Session, type SessionOptions } from "./session.ts";
import type { Codes } from "./store/index.ts";
import { recogniseAugmenter } from "./weights/augmenter.ts";
import type { Checkpoint } from "./weights/checkpoint.ts";
import { pixelsPerCode } from "./weights/compressor.ts";
import { openOwnTensors } from "./weights/load.ts";
import type { AugmenterShape, Quantiser } from "./weights/types.ts";

/** The network of an augmenter's file. @throws "unsupported" for any other file, and for one whose layers do not fit each other */
export function augmenterOf(checkpoint: Checkpoint): AugmenterShape {
  const { name } = checkpoint;
  const shape = recogniseAugmenter(checkpoint);
  return (
    shape ??
    fail("unsupported", `${name} holds no augmentation network of Kinema's; give weights/kinema-augment-*.safetensors`)
  );
}

/** The augmentation network as createSession takes it; with the compressor's file its result as codes as well. @throws as {@link augmenterOf} */
export function openAugmenter(
  checkpoint: Checkpoint,
  compressor?: Checkpoint,
): { readonly graph: Graph; readonly weights: TensorSource } {
  const graph = buildAugmenter(augmenterOf(checkpoint), compressor && compressorOf(compressor).quantiser);
  const wanted = wantedTensors(graph);
  const part = (ofBook: boolean) => new Map([...wanted].filter(([name]) => (name === CODEBOOK) === ofBook));
  const own = openOwnTensors(checkpoint, part(false), "leave");
  if (!compressor) return { graph, weights: own };
  const book = openOwnTensors(compressor, part(true), "leave");
  return { graph, weights: { keys: () => wanted.keys(), get: (name) => (name === CODEBOOK ? book : own).get(name) } };
}

/** The compressor whose codes the network changes: its codebooks, of each side of a site so many pixels. */
interface Book {
  readonly quantiser: Extract<Quantiser, { kind: "vq" }>;
  /** [codebooks, codes, dim] */
  readonly vectors: Float32Array;
  readonly side: number;
}

/**
 * Codes of pictures to codes of the changed pictures (flipped, turned, cut, lighter, paler), without a pixel in between: the vectors of the places that
 * each site will show, which the network ("Compressed Vision", Wiles et al., ACCV 2022) changes, and the nearest codes. It sees windows of so
 * many steps and sites as its file says; windows do not see each other.
 */
export class Augmenter {
  readonly session: Session;
  readonly shape: AugmenterShape;
  readonly #book: Book;

  private constructor(session: Session, shape: AugmenterShape, book: Book) {
    this.session = session;
    this.shape = shape;
    this.#book = book;
  }

  /**
   * `compressor` is the file that wrote the codes.
   * @throws "unsupported" for files of something else; "weights-mismatch" when the network was trained with another compressor
   */
  static async create(
    gpu: Gpu,
    checkpoint: Checkpoint,
    compressor: Checkpoint,
    options: SessionOptions = {},
  ): Promise<Augmenter> {
    const shape = augmenterOf(checkpoint);
    const { metadata, name } = checkpoint;
    const network = compressorOf(compressor);
    const { quantiser } = network;
    if (metadata.quantiser !== (await quantiserHash(compressor)) || quantiser.kind !== "vq")
      fail(
        "weights-mismatch",
        `${name} changes the codes of ${metadata.compressor ?? "another compressor"}, not those of ${compressor.name}; give the two that belong together`,
      );
    const { graph, weights } = openAugmenter(checkpoint, compressor);
    const vectors = await compressor.readF32(CODEBOOK);
    const book = { quantiser, vectors, side: pixelsPerCode(network) };
    return new Augmenter(await createSession(gpu, graph, weights, options), shape, book);
  }

  /**
   * Codes [steps, codebooks, rows, columns] of whole steps, as a store keeps them, to as many of the changed pictures. Steps go through the network
   * so many together as its file says (2), from the first on; where the last ones do not fill that, the last stands for those that are missing.
   * @throws "bad-input" where rows and columns do not divide into the network's windows; what `signal` aborts with
   */
  async augment(
    codes: Codes,
    [rows, columns]: readonly [number, number],
    transform: Transform,
    options: Pick<RunOptions, "signal"> = {},
  ): Promise<Codes> {
    const { quantiser, side } = this.#book;
    const books = quantiser.codebooks;
    const sites = { rows, columns, side };
    const edge = Math.sqrt(this.shape.sites);
    const step = rows * columns * books;
    if (rows % edge !== 0 || columns % edge !== 0 || step === 0 || codes.length % step !== 0)
      fail(
        "bad-input",
        `${codes.length} codes of grids of ${rows} x ${columns} do not divide into windows of ${edge} x ${edge}, which is what the network sees; give whole steps of pictures of a multiple of ${edge * side} pixels a side`,
      );
    const [steps, together, { latent }] = [codes.length / step, this.shape.steps, this.shape];
    const told = Array<Float32Array>(together).fill(described(sites, transform));
    const windows = windowsOf(sites, edge).map((window) => ({
      window,
      description: gathered(told, window, DESCRIPTION),
    }));
    const out = codes.slice();
    for (let first = 0; first < steps; first += together) {
      const latents = Array.from({ length: together }, (_, t) => {
        const at = Math.min(first + t, steps - 1) * step;
        return resampled(this.#vectors(codes.subarray(at, at + step)), latent, sites, transform);
      });
      for (const { window, description } of windows) {
        const found = await this.session.run({ latent: gathered(latents, window, latent), description }, options);
        for (let t = 0; t < together && first + t < steps; t++)
          for (const [i, site] of window.entries())
            for (let book = 0; book < books; book++)
              out[(first + t) * step + book * rows * columns + site] =
                found.codes![(t * window.length + i) * books + book]!;
      }
    }
    return out;
  }

  /** Codes of a step, [codebooks, sites] -> vectors [sites, channels]. */
  #vectors(codes: Codes): Float32Array {
    const { quantiser, vectors } = this.#book;
    const { codebooks, dim } = quantiser;
    const bySite = runCodes(codes, codebooks, codes.length / codebooks);
    const out = new Float32Array(bySite.length * dim);
    for (const [i, code] of bySite.entries()) {
      const row = ((i % codebooks) * quantiser.codes + code) * dim;
      out.set(vectors.subarray(row, row + dim), i * dim);
    }
    return out;
  }

  dispose(): void {
    this.session.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The square windows of a grid, row by row: the numbers of their sites, row by row. */
const windowsOf = ({ rows, columns }: Sites, edge: number): number[][] =>
  Array.from({ length: (rows * columns) / edge ** 2 }, (_, window) => {
    const across = columns / edge;
    const corner = (Math.floor(window / across) * columns + (window % across)) * edge;
    return Array.from({ length: edge ** 2 }, (_, i) => corner + Math.floor(i / edge) * columns + (i % edge));
  });

/** Of each step [all sites, channels] the sites of a window: [steps, sites, channels]. */
function gathered(
  steps: readonly Float32Array[],
  window: readonly number[],
  channels: number,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(steps.length * window.length * channels);
  for (const [t, step] of steps.entries())
    for (const [i, site] of window.entries())
      out.set(step.subarray(site * channels, (site + 1) * channels), (t * window.length + i) * channels);
  return out;
}
