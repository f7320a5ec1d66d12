// Every op at its sizes: read by test/ops.test.ts and by the bench.
import type { OpCase } from "./case.ts";
import { conv2dCases } from "./conv2d.ts";
import { depthwiseCases } from "./depthwise.ts";
import { matmulCases } from "./matmul.ts";
import { maxPoolCases } from "./max_pool.ts";
import { meanCases } from "./mean.ts";
import { packOperandCases } from "./pack_operand.ts";
import { softmaxCases } from "./softmax.ts";
import { temporalShiftCases } from "./temporal_shift.ts";

export const CASES: readonly OpCase[] = [
  ...conv2dCases,
  ...depthwiseCases,
  ...matmulCases,
  ...maxPoolCases,
  ...meanCases,
  ...packOperandCases,
  ...softmaxCases,
  ...temporalShiftCases,
];
