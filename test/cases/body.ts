// A body of the matmul family in place of the one that would be chosen.
import type { Graph } from "../../src/core/graph.ts";
import type { Caps } from "../../src/core/op.ts";
import { plan } from "../../src/core/plan.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { type BodyName, bodiesFor, classOf, productOf } from "../../src/ops/matmul_body.ts";

/** A device's capabilities with `body` chosen wherever it can compute a product of the graph, with any weights; null if it cannot any. */
export function choosing(caps: Caps, graph: Graph, body: BodyName): Caps | null {
  const products = plan(graph, caps).steps.flatMap(({ dispatch }) => productOf(dispatch) ?? []);
  const able = products.filter((product) => bodiesFor(product, caps).includes(body));
  const forms = ["f32", "native", "unpacked", "arithmetic", "int8"] as const;
  const classes = able.flatMap((product) => forms.map((form) => classOf({ ...product, form })));
  return able.length > 0 ? { ...caps, tuned: Object.fromEntries(classes.map((name) => [name, body])) } : null;
}

/** The device with those capabilities. */
export function inBody(gpu: Gpu, graph: Graph, body: BodyName): Gpu | null {
  const caps = choosing(gpu.caps, graph, body);
  return caps && { ...gpu, caps };
}
