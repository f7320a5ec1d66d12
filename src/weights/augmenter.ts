/** Networks that change latents as a change of the picture would (tools/train/augment_export.py). */
import type { AugmenterShape, Checkpoint } from "./types.ts";

/** The `model` of the file's metadata. */
export const AUGMENTER = "kinema-augment";

/**
 * The network that a file holds, from its names and shapes; heads from the metadata `network`. Reads no tensor data and never throws: null for a file of
 * anything else, and for one whose layers do not fit each other.
 */
export function recogniseAugmenter({ metadata, tensors }: Checkpoint): AugmenterShape | null {
  if (metadata.model !== AUGMENTER) return null;
  const shape = (name: string) => tensors.get(name)?.shape ?? [];
  const [steps = 0, sites = 0, width = 0] = shape("positions");
  const [half = 0, latent = 0] = shape("enter.weight");
  const [hidden = 0] = shape("layers.0.up.weight");
  let layers = 0;
  while (tensors.has(`layers.${layers}.up.weight`)) layers++;
  const heads = Number(/"heads": ?(\d{1,4})\b/.exec(metadata.network ?? "")?.[1]);
  const counts = [steps, sites, latent, half, hidden, layers, width / heads / 4];
  const sound =
    width === 2 * half && shape("leave.weight")[0] === latent && /"aligned": ?true/.test(metadata.network ?? "");
  return sound && counts.every((n) => Number.isInteger(n) && n >= 1)
    ? { steps, sites, latent, half, heads, layers, hidden }
    : null;
}
