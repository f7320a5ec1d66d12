// The augmentation network's file: what it holds, and what createSession takes of it.
import { fail } from "./core/fail.ts";
import { type Graph, type TensorSource, wantedTensors } from "./core/graph.ts";
import { buildAugmenter } from "./models/augment.ts";
import { recogniseAugmenter } from "./weights/augmenter.ts";
import type { Checkpoint } from "./weights/checkpoint.ts";
import { openOwnTensors } from "./weights/load.ts";
import type { AugmenterShape } from "./weights/types.ts";

/** The network of an augmenter's file. @throws "unsupported" for any other file, and for one whose layers do not fit each other */
export function augmenterOf(checkpoint: Checkpoint): AugmenterShape {
  const { name } = checkpoint;
  const shape = recogniseAugmenter(checkpoint);
  return (
    shape ??
    fail("unsupported", `${name} holds no augmentation network of Kinema's; give weights/kinema-augment-*.safetensors`)
  );
}

/** The augmentation network as createSession takes it. @throws as {@link augmenterOf} */
export function openAugmenter(checkpoint: Checkpoint): { readonly graph: Graph; readonly weights: TensorSource } {
  const graph = buildAugmenter(augmenterOf(checkpoint));
  return { graph, weights: openOwnTensors(checkpoint, wantedTensors(graph), "leave") };
}
