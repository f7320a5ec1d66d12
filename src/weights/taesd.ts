/**
 * The TAESD family of latent auto-encoders: TAESD sees images, TAESDV's decoder remembers the frame before, TAEHV also takes and gives several
 * frames a latent. A file holds one half, with the numbers of its layers alone for names, or both, as `encoder.` and `decoder.`
 * (compressed-vision.md 2.3 and 2.4).
 */
import { fail } from "../core/fail.ts";
import { product } from "../core/tensor.ts";
import type { LatentModel } from "./models.ts";
import type { Checkpoint, LatentHalf } from "./types.ts";

const PREFIX = /^(?:(?:module|model|ema|vae|taesd)\.)+/;
const NAME =
  /^(?:(encoder|decoder)\.)?((?:0|[1-9]\d?)\.(?:weight|bias|conv\.weight|(?:conv\.[0-4]|pool\.[013])\.(?:weight|bias)))$/;

/** A file's halves and its names; null for a file of another family. Reads no tensor data and never throws. */
export interface LatentFile {
  readonly model: LatentModel;
  readonly halves: LatentHalves;
  /** Canonical name (`decoder.3.conv.0.weight`) -> name in the file. */
  readonly tensors: ReadonlyMap<string, string>;
  readonly unknown: string[];
}

/** What each half of a file is. */
export type LatentHalves = Readonly<Partial<Record<"encoder" | "decoder", LatentHalf>>>;

/** Recognises a file of the family by its numbered layers and their shapes. */
export function recogniseLatents(checkpoint: Checkpoint): LatentFile | null {
  const tensors = new Map<string, string>();
  const unknown: string[] = [];
  const bare = bareHalf(checkpoint);
  for (const raw of checkpoint.tensors.keys()) {
    const [, half, rest] = (raw.length > 200 ? null : NAME.exec(raw.replace(PREFIX, ""))) ?? [];
    const name = `${half ?? bare}.${rest}`;
    if (rest === undefined || tensors.has(name)) unknown.push(raw);
    else tensors.set(name, raw);
  }
  const halves: { -readonly [Half in keyof LatentHalves]: LatentHalves[Half] } = {};
  for (const half of ["encoder", "decoder"] as const) {
    const shape = (name: string) => checkpoint.tensors.get(tensors.get(`${half}.${name}`) ?? "")?.shape;
    const found = half === "encoder" ? readEncoder(shape) : readDecoder(shape);
    if (found) halves[half] = found;
  }
  const model = (halves.decoder ?? halves.encoder)?.model;
  return model && tensors.size > unknown.length ? { model, halves, tensors, unknown } : null;
}

/** The half whose layers have numbers alone: the encoder begins with a convolution of the picture, the decoder with a clamp. */
function bareHalf(checkpoint: Checkpoint): "encoder" | "decoder" {
  for (const [raw, { shape }] of checkpoint.tensors)
    if (raw.replace(PREFIX, "") === "0.weight" && shape[1] === 3) return "encoder";
  return "decoder";
}

/** Shape of a tensor of this half; undefined where the file has none. */
type ShapeOf = (name: string) => readonly number[] | undefined;

/** Sides of a pixel shuffle whose 3 channels a picture's layer has. */
const shuffleOf = (pictureChannels: number | undefined): number => Math.sqrt((pictureChannels ?? 3) / 3);

const isWhole = (n: number): boolean => Number.isInteger(n) && n >= 1;

function checked(half: Omit<LatentHalf, "faults">, faults: readonly string[]): LatentHalf {
  const { latent, widths, time, shuffle } = half;
  const found = [...faults];
  if (found.length === 0 && ![latent, shuffle, ...widths, ...time].every(isWhole))
    found.push("the shapes of its layers contradict each other");
  return { ...half, faults: found };
}

function readEncoder(shape: ShapeOf): LatentHalf | null {
  const first = shape("0.weight");
  if (first?.length !== 4) return null;
  const width = first[0]!;
  const pools = [2, 7, 12].map((layer) => shape(`${layer}.conv.weight`));
  const shuffle = shuffleOf(first[1]);
  const base = { half: "encoder", shuffle, widths: [width], pools: false, memory: false, time: [1, 1, 1] } as const;
  if (pools.some((pool) => pool)) {
    const time = pools.map((pool) => (pool?.[1] ?? 0) / width);
    const latent = shape("17.weight")?.[0] ?? 0;
    return checked({ ...base, model: "taehv-encoder", latent, memory: true, time }, []);
  }
  if (shape("1.conv.0.weight")) {
    const attends = shape("11.pool.0.weight") !== undefined;
    return checked({ ...base, model: "taesd-encoder", latent: shape("14.weight")?.[0] ?? 0, pools: attends }, []);
  }
  // Two strided convolutions before the first block.
  if (shape("4.conv.0.weight") && shape("2.weight"))
    return checked({ ...base, model: "taesd-encoder", latent: shape("17.weight")?.[0] ?? 0 }, [
      "it is the SANA member of the family (32 pixels a latent), which Kinema does not build",
    ]);
  return null;
}

function readDecoder(shape: ShapeOf): LatentHalf | null {
  const first = shape("1.weight");
  const grows = [7, 13, 19].map((layer) => shape(`${layer}.conv.weight`));
  const base = { half: "decoder", shuffle: 1, pools: false, memory: false, time: [1, 1, 1] } as const;
  // A decoder that begins without a clamp and sees 7x7 pixels a channel.
  if (shape("0.weight")?.[2] === 1 && shape("1.conv.0.weight")?.[2] === 7)
    return checked({ ...base, model: "taehv-decoder", latent: shape("0.weight")![1]!, widths: [1], memory: true }, [
      "it is a “super” decoder (depthwise 7x7), which Kinema does not build",
    ]);
  if (first?.length !== 4) return null;
  const latent = first[1]!;
  if (grows.some((grow) => grow)) {
    const widths = [first[0]!, ...[8, 14, 20].map((layer) => shape(`${layer}.weight`)?.[0] ?? 0)];
    const time = grows.map((grow, i) => (grow?.[0] ?? 0) / widths[i]!);
    const shuffle = shuffleOf(shape("22.weight")?.[0]);
    return checked({ ...base, model: "taehv-decoder", latent, widths, memory: true, time, shuffle }, []);
  }
  const block = shape("3.conv.0.weight");
  if (!block) return null;
  const width = first[0]!;
  const sana = (shape("7.weight")?.[0] ?? width) !== width || shape("23.conv.0.weight");
  const memory = block[1] === 2 * width;
  const pools = shape("3.pool.0.weight") !== undefined;
  const model = memory ? "taesdv-decoder" : "taesd-decoder";
  return checked(
    { ...base, model, latent, widths: [width], pools, memory },
    sana ? ["it is the SANA member of the family (32 pixels a latent), which Kinema does not build"] : [],
  );
}

/** Pixels of a side that become one latent. */
export const pixelsPerLatent = ({ shuffle }: Pick<LatentHalf, "shuffle">): number => 8 * shuffle;

/** Frames that become one latent, or come of it. */
export const framesPerLatent = ({ time }: Pick<LatentHalf, "time">): number => product(time);

/** The fewest frames that a half takes at once: a latent, or the pictures that become one. */
export const framesPerRun = (latents: Pick<LatentHalf, "half" | "time">): number =>
  latents.half === "encoder" ? framesPerLatent(latents) : 1;

/**
 * Throws ONE error that says everything for which the half cannot be built at that size of picture: the file's own faults
 * ("weights-mismatch") or a size that does not divide into latents ("bad-input"). `frames` are those of an encoder's picture.
 */
export function checkLatents(
  file: string,
  latents: LatentHalf,
  { frames, height, width }: { frames?: number | undefined; height?: number | undefined; width?: number | undefined },
): void {
  const { model, faults } = latents;
  if (faults.length > 0)
    fail("weights-mismatch", `${file} is no ${model} that Kinema can run: ${faults.join("; ")}`, { faults });
  const [pixels, together] = [pixelsPerLatent(latents), framesPerLatent(latents)];
  if ((height ?? 0) % pixels !== 0 || (width ?? 0) % pixels !== 0)
    fail(
      "bad-input",
      `${file}: a picture of ${width}x${height} pixels does not divide into latents of ${pixels}x${pixels}; crop or pad it to multiples of ${pixels}`,
      { height, width },
    );
  if (latents.half === "encoder" && (frames ?? 0) % together !== 0)
    fail("bad-input", `${file}: ${frames} frames do not divide into latents of ${together}; repeat the last frame`, {
      frames,
    });
}
