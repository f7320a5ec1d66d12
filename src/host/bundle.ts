import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fail } from "../core/fail.ts";

/** Path of the built page bundle: beside dist/cli.js, or in dist/ when run from the sources. Throws `usage` if not built. */
export function pageBundle(): string {
  const places = ["./page.js", "../../dist/page.js"].map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return places.find((place) => existsSync(place)) ?? fail("usage", "dist/page.js is missing; build it: npm run build");
}

/** Path of the motion model that ships with Kinema; null where it was left out. */
export const shippedWeights = (): string | null => shipped("kinema-motion");

/** Path of the compressor that ships for a rate; null where there is none, or it was left out. */
export const shippedCompressor = (rate: string): string | null => shipped(`kinema-compressor-${rate}`);

/** Path of the network that ships for the codes of a rate; null where there is none, or it was left out. */
export const shippedMotionCodes = (rate: string): string | null => shipped(`kinema-motion-codes-${rate}`);

/** Path of the augmentation network that ships for the codes of a rate; null where there is none, or it was left out. */
export const shippedAugmenter = (rate: string): string | null => shipped(`kinema-augment-${rate}`);

function shipped(name: string): string | null {
  const places = ["../weights", "../../weights"].map((folder) => `${folder}/${name}.safetensors`);
  return places.map((place) => fileURLToPath(new URL(place, import.meta.url))).find((path) => existsSync(path)) ?? null;
}
