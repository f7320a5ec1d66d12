export { conv2d, pad, samePadding, stateSpec } from "./conv2d.ts";
export { depthwise } from "./depthwise.ts";
export { LINEAR, matmul, RELU, RELU6 } from "./matmul.ts";
export { maxPool } from "./max_pool.ts";
export { mean } from "./mean.ts";
export { packOperand } from "./pack_operand.ts";
export { softmax } from "./softmax.ts";
export { temporalShift } from "./temporal_shift.ts";
