// A product in every body that an adapter can run, so that their times come from the same rounds.
import type { Graph } from "../src/core/graph.ts";
import { plan } from "../src/core/plan.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { candidates, productOf } from "../src/ops/matmul_body.ts";
import { choosing } from "../test/cases/body.ts";

/** The adapter made to compute a product in one body, its weights in one form. */
export interface InBody {
  /** `tile 64x64, f32` */
  readonly about: string;
  /** For this graph, or another of the same op. */
  on(graph: Graph): Gpu;
}

/** Every body worth measuring, with f32 weights, and as the adapter is asked to keep them where that is something else. None for what is no product. */
export function bodiesOf(gpu: Gpu, graph: Graph): InBody[] {
  const forms = new Set(["f32", gpu.caps.weights ?? "f32"] as const);
  return [...forms].flatMap((weights) => {
    const caps = { ...gpu.caps, weights };
    const product = plan(graph, caps).steps.flatMap(({ dispatch }) => productOf(dispatch) ?? [])[0];
    if (!product) return [];
    return candidates(product, caps).map((body) => ({
      about: `${body}, ${weights}`,
      on: (other: Graph) => ({ ...gpu, caps: choosing(caps, other, body)! }),
    }));
  });
}
