import { fail } from "./core/fail.ts";
import type { Graph, Value } from "./core/graph.ts";
import { extent } from "./core/tensor.ts";

/** What a transformer looked at. */
export interface Explanation {
  /** As {@link Classifier.classify} gives them. */
  readonly logits: Float32Array<ArrayBuffer>;
  /**
   * How the class token of each frame shares out its attention among the patches, in the last block: [frames, patches], the
   * patches row by row, mean of the heads. Its share for itself is left out, so that a frame's sum is below 1.
   */
  readonly patches: Float32Array<ArrayBuffer>;
  /** How the clip's class token shares out its attention among the frames, in the last layer, mean of the heads; sum 1. null for `vit`. */
  readonly frames: Float32Array<ArrayBuffer> | null;
}

/** The values of a graph that say what its class tokens look at. @throws "unsupported" for a graph that makes none */
export function sharesOf(graph: Graph): readonly Value[] {
  const shares = graph.values.filter(({ name }) => /\.shares(@\d+)?$/.test(name));
  return shares.length > 0
    ? shares
    : fail("unsupported", `${graph.name} makes no attention maps; make a stam or vit with shares: true`);
}

/** Puts the tensors of {@link sharesOf}'s values together. */
export function explain(
  shares: readonly Value[],
  outputs: Readonly<Record<string, Float32Array<ArrayBuffer>>>,
): Explanation {
  const rowsOf = (part: string) =>
    shares.filter(({ name }) => name.startsWith(part)).flatMap((value) => lookedAt(value, outputs[value.name]!));
  const frames = rowsOf("aggregate.")[0];
  const sum = frames?.reduce((a, b) => a + b, 0);
  return {
    logits: outputs.logits!,
    patches: Float32Array.from(rowsOf("blocks.").flat()),
    frames: frames ? Float32Array.from(frames, (share) => share / sum!) : null,
  };
}

/** Shares [N, heads, tokens] of the class token -> N rows of the other tokens' shares, mean of the heads. */
function lookedAt({ spec }: Value, data: Float32Array): number[][] {
  const [count, heads, tokens] = [extent(spec, 0), extent(spec, 1), extent(spec, 2)];
  return Array.from({ length: count }, (_, n) =>
    Array.from({ length: tokens - 1 }, (_, t) => {
      let sum = 0;
      for (let h = 0; h < heads; h++) sum += data[(n * heads + h) * tokens + 1 + t]!;
      return sum / heads;
    }),
  );
}
