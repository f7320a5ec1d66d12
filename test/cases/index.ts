// Every op at its sizes: read by test/ops.test.ts and by the bench.
import { attentionCases, attentionSharesCases } from "./attention.ts";
import type { OpCase } from "./case.ts";
import { ceilingCases } from "./ceiling.ts";
import { convTransposeCases } from "./conv_transpose.ts";
import { conv2dCases } from "./conv2d.ts";
import { conv3dCases } from "./conv3d.ts";
import { depthwiseCases } from "./depthwise.ts";
import { embedCases } from "./embed.ts";
import { fsqCases } from "./fsq.ts";
import { groupMomentsCases, groupNormCases } from "./group_norm.ts";
import { layerNormCases } from "./layer_norm.ts";
import { matmulCases } from "./matmul.ts";
import { maxPoolCases } from "./max_pool.ts";
import { meanCases } from "./mean.ts";
import { packOperandCases } from "./pack_operand.ts";
import { reluCases } from "./relu.ts";
import { addRowsCases, historyCases, takeRowCases, tokensCases } from "./rows.ts";
import { softClampCases } from "./soft_clamp.ts";
import { softmaxCases } from "./softmax.ts";
import { temporalShiftCases } from "./temporal_shift.ts";
import { vqCases } from "./vq.ts";

export const CASES: readonly OpCase[] = [
  ...addRowsCases,
  ...attentionCases,
  ...attentionSharesCases,
  ...ceilingCases,
  ...conv2dCases,
  ...conv3dCases,
  ...convTransposeCases,
  ...depthwiseCases,
  ...embedCases,
  ...fsqCases,
  ...groupMomentsCases,
  ...groupNormCases,
  ...historyCases,
  ...layerNormCases,
  ...matmulCases,
  ...maxPoolCases,
  ...meanCases,
  ...packOperandCases,
  ...reluCases,
  ...softClampCases,
  ...softmaxCases,
  ...takeRowCases,
  ...temporalShiftCases,
  ...tokensCases,
  ...vqCases,
];
