import type { WeightForm } from "../../src/core/kept.ts";
import type { BodyName } from "../../src/ops/matmul_body.ts";

/** What test/naga/main.ts prints, an object a line; `wrong` is empty where all is well. A model's logits with f16 weights against those with f32. */
export type Line =
  | { readonly adapter: string; readonly f16: boolean }
  | { readonly variant: string; readonly wrong: readonly string[] }
  | {
      readonly case: string;
      readonly kind: "cpu" | "gpu";
      readonly form: WeightForm;
      readonly body: BodyName | null;
      readonly wrong: readonly string[];
    }
  | { readonly model: string; readonly cosine: number; readonly equal: boolean };
