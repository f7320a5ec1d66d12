import type { Graph, GraphBuilder, Value } from "../core/graph.ts";
import { channels, extent } from "../core/tensor.ts";
import { LINEAR, matmul, mean } from "../ops/index.ts";
import type { ModelDescription } from "./describe.ts";
import { unit } from "./layers.ts";

/**
 * Global mean of each frame, the classifier, and for an offline TSM the mean of a clip's logits (the consensus). Behind
 * a transformer the mean is over one row, the class token's.
 * Without a classifier the pooled features [frames, channels] are the output.
 */
export function classify(g: GraphBuilder, d: ModelDescription, x: Value): Graph {
  const pooled = g.apply(mean, "pool", { x }, { groups: extent(x.spec, 0) }).y!;
  if (d.classes === null) {
    g.output("features", pooled);
    return g.build();
  }
  const weights = unit(g, "head", {
    out: d.classes,
    input: channels(pooled.spec),
    kernel: 1,
    linear: true,
    batchNorm: false,
    bias: true,
  });
  const frames = g.apply(matmul, "head", { x: pooled, ...weights }, { out: d.classes, activation: LINEAR }).y!;
  const consensus = d.model.startsWith("tsm-") && d.model !== "tsm-mobilenetv2-online";
  g.output("logits", !consensus ? frames : g.apply(mean, "logits", { x: frames }, { groups: d.clips ?? 1 }).y!);
  return g.build();
}
