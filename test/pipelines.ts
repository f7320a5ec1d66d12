import { countMacs, type Graph } from "../src/core/graph.ts";
import { type Dispatch, variantName } from "../src/core/kernel.ts";
import type { Caps } from "../src/core/op.ts";
import { buildModel, MODEL_NAMES } from "../src/models/index.ts";
import { standardModel } from "../src/profile.ts";

const CAPS = { f16: false, timestamps: false } as const;

/** Every model as its authors trained it. */
export const fullModels = (): Graph[] => MODEL_NAMES.map((model) => buildModel(standardModel(model)));

/** What adapters are, as far as f32 weights and no tuning go: SwiftShader and llvmpipe have subgroups. */
export const ADAPTERS: Readonly<Record<string, Caps>> = {
  software: { ...CAPS, kind: "cpu", subgroups: false },
  "software with subgroups": { ...CAPS, kind: "cpu", subgroups: true },
  GPU: { ...CAPS, kind: "gpu", subgroups: true },
};

/** A dispatch of every kernel variant to which a graph lowers, by name: a session compiles one pipeline each. */
export function variantsOf(graph: Graph, caps: Caps): Map<string, Dispatch> {
  const sized = { macs: countMacs(graph), ...caps };
  const variants = new Map<string, Dispatch>();
  for (const { op, inputs, outputs, attrs } of graph.nodes)
    for (const d of op.lower({ ...inputs, ...outputs }, attrs, sized))
      variants.set(variantName(d.kernel, d.consts, d.retype), d);
  return variants;
}
