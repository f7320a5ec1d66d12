// The compressors that a recording can be made with.
import { COMPRESSOR_SIZE, compressorOf } from "../../src/compressor.ts";
import { type Checkpoint, openCheckpoint } from "../../src/weights/checkpoint.ts";
import { compressionRate } from "../../src/weights/compressor.ts";
import { fromUrl } from "../../src/weights/url_source.ts";

export const RATES = ["30", "192", "384"] as const;

const opened = new Map<string, Promise<Checkpoint>>();

/** The weights that ship for a rate, fetched once. @throws "bad-input" for a rate that there is not */
export function weightsOf(rate: string): Promise<Checkpoint> {
  const known = opened.get(rate);
  if (known) return known;
  const name = `kinema-compressor-${rate}.safetensors`;
  const checkpoint = fromUrl(new URL(name, document.baseURI), { name }).then((file) => openCheckpoint(file));
  opened.set(rate, checkpoint);
  checkpoint.catch(() => opened.delete(rate));
  return checkpoint;
}

export interface RateFacts {
  /** Bytes a second of codes of fixed length. */
  readonly bytesPerSecond: number;
  /** PSNR in dB on footage like that of the training and on other, as the model card has it; null where it says nothing. */
  readonly psnr: readonly [like: number, other: number] | null;
}

/** What a rate means for a video of so many frames a second. */
export function factsOf(checkpoint: Checkpoint, fps: number): RateFacts {
  const bytesPerSecond = (3 * COMPRESSOR_SIZE ** 2 * fps) / compressionRate(compressorOf(checkpoint));
  const [like, other] = [...(checkpoint.metadata.measured ?? "").matchAll(/([\d.]+) dB/g)].map(([, dB]) => Number(dB));
  return { bytesPerSecond, psnr: like !== undefined && other !== undefined ? [like, other] : null };
}
