// Every op at its sizes: read by test/ops.test.ts and by the bench.
import { attentionCases, attentionSharesCases } from "./attention.ts";
import type { OpCase } from "./case.ts";
import { ceilingCases } from "./ceiling.ts";
import { conv2dCases } from "./conv2d.ts";
import { depthwiseCases } from "./depthwise.ts";
import { layerNormCases } from "./layer_norm.ts";
import { matmulCases } from "./matmul.ts";
import { maxPoolCases } from "./max_pool.ts";
import { meanCases } from "./mean.ts";
import { packOperandCases } from "./pack_operand.ts";
import { addRowsCases, historyCases, takeRowCases, tokensCases } from "./rows.ts";
import { softmaxCases } from "./softmax.ts";
import { temporalShiftCases } from "./temporal_shift.ts";

export const CASES: readonly OpCase[] = [
  ...addRowsCases,
  ...attentionCases,
  ...attentionSharesCases,
  ...ceilingCases,
  ...conv2dCases,
  ...depthwiseCases,
  ...historyCases,
  ...layerNormCases,
  ...matmulCases,
  ...maxPoolCases,
  ...meanCases,
  ...packOperandCases,
  ...softmaxCases,
  ...takeRowCases,
  ...temporalShiftCases,
  ...tokensCases,
];
