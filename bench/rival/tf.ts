/** TensorFlow.js on WebGPU, in the ops that its converter would write: channels last, batch norm folded, activations fused. */
import { wantedTensors } from "../../src/core/graph.ts";
import { elements, tensor } from "../../src/core/tensor.ts";
import { type CaseName, foldedUnit, inKinemasOrder, inputOf, RIVAL_CASES, unitNames } from "./cases.ts";
import type { Engine } from "./compare.ts";
import type { Places } from "./engines.ts";
import { type Ops, runNet } from "./nets.ts";

interface TfTensor {
  readonly shape: readonly number[];
  data(): Promise<Float32Array>;
  dispose(): void;
}
type Activation = "linear" | "relu" | "relu6";
interface FusedConv {
  readonly x: TfTensor;
  readonly filter: TfTensor;
  readonly strides: number;
  readonly pad: number;
  readonly bias: TfTensor;
  readonly activation: Activation;
}
interface TfModule {
  readonly version: string;
  readonly fused: {
    conv2d(given: FusedConv): TfTensor;
    depthwiseConv2d(given: FusedConv): TfTensor;
    matMul(given: { a: TfTensor; b: TfTensor; bias: TfTensor; transposeB: boolean }): TfTensor;
  };
  env(): { set(flag: string, value: boolean): void };
  setBackend(name: "webgpu"): Promise<boolean>;
  getBackend(): string;
  ready(): Promise<void>;
  tensor(data: Float32Array, shape: readonly number[]): TfTensor;
  zeros(shape: readonly number[]): TfTensor;
  slice(x: TfTensor, begin: readonly number[], size: readonly number[]): TfTensor;
  concat(parts: readonly TfTensor[], axis: number): TfTensor;
  add(x: TfTensor, y: TfTensor): TfTensor;
  relu(x: TfTensor): TfTensor;
  maxPool(x: TfTensor, size: number, strides: number, pad: number): TfTensor;
  mean(x: TfTensor, axes: readonly number[]): TfTensor;
  tidy(work: () => TfTensor): TfTensor;
}

interface Unit {
  readonly filter: TfTensor;
  readonly bias: TfTensor;
  readonly size: number;
}

/** Weights as TensorFlow has them: [height, width, in, out], of a depthwise filter [height, width, channels, 1]; linear as it is. */
function unitsOf(tf: TfModule, name: CaseName): ReadonlyMap<string, Unit> {
  const tensors = wantedTensors(RIVAL_CASES[name].graph());
  return new Map(
    unitNames(tensors).map((unit) => {
      const { shape, weight, bias } = foldedUnit(tensors, unit);
      const [out, each, size = 1] = shape as [number, number, number?];
      const made = { bias: tf.tensor(bias, [out]), size };
      if (shape.length === 2) return [unit, { ...made, filter: tf.tensor(weight, shape) }];
      const taps = size * size;
      const turned = new Float32Array(weight.length);
      for (let o = 0; o < out; o++)
        for (let k = 0; k < each; k++)
          for (let t = 0; t < taps; t++) turned[(t * each + k) * out + o] = weight[(o * each + k) * taps + t]!;
      // A depthwise filter is [out, 1, ...] in PyTorch, so what is "in" here is the 1 and must come last.
      const depthwise = name === "depthwise" || unit.endsWith(".depthwise");
      return [unit, { ...made, filter: tf.tensor(turned, depthwise ? [size, size, out, 1] : [size, size, each, out]) }];
    }),
  );
}

function opsOf(tf: TfModule, units: ReadonlyMap<string, Unit>): Ops<TfTensor> {
  const conv = (x: TfTensor, name: string, strides: number, activation: Activation): FusedConv => {
    const { filter, bias, size } = units.get(name)!;
    return { x, filter, strides, pad: (size - 1) / 2, bias, activation };
  };
  return {
    conv: (x, name, stride, activation) => tf.fused.conv2d(conv(x, name, stride, activation)),
    depthwise: (x, name, stride, activation) => tf.fused.depthwiseConv2d(conv(x, name, stride, activation)),
    linear(x, name) {
      const { filter, bias } = units.get(name)!;
      return tf.fused.matMul({ a: x, b: filter, bias, transposeB: true });
    },
    shift(x) {
      const [frames, height, width, channels] = x.shape as [number, number, number, number];
      const fold = channels >> 3;
      const nothing = tf.zeros([1, height, width, fold]);
      const from = (frame: number, channel: number) =>
        tf.slice(x, [frame, 0, 0, channel], [frames - 1, height, width, fold]);
      const next = tf.concat([from(1, 0), nothing], 0);
      const past = tf.concat([nothing, from(0, fold)], 0);
      const rest = tf.slice(x, [0, 0, 0, 2 * fold], [frames, height, width, channels - 2 * fold]);
      return tf.concat([next, past, rest], 3);
    },
    sum: (x, y) => tf.add(x, y),
    relu: (x) => tf.relu(x),
    maxPool: (x) => tf.maxPool(x, 3, 2, 1),
    pool: (x) => tf.mean(x, [1, 2]),
    consensus: (x) => tf.mean(x, [0]),
    again: (x) => x,
  };
}

export async function openTf(name: CaseName, places: Places): Promise<Engine> {
  const tf = (await import(new URL("tfjs.js", places.scripts).href)) as TfModule;
  // Small tensors would else be computed by the processor.
  tf.env().set("WEBGPU_CPU_FORWARD", false);
  const { shape } = RIVAL_CASES[name];
  const data = inKinemasOrder(inputOf(name), shape);
  const [frames, channels, ...sides] = shape as [number, number, ...number[]];
  const inputShape = sides.length > 0 ? [frames, ...sides, channels] : [frames, channels];
  const start = performance.now();
  if (!(await tf.setBackend("webgpu"))) throw new Error("it finds no WebGPU");
  await tf.ready();
  if (tf.getBackend() !== "webgpu") throw new Error(`it runs on ${tf.getBackend()}`);
  const units = unitsOf(tf, name);
  const prepareMs = performance.now() - start;
  if (data.length !== elements(tensor(...inputShape))) throw new Error(`${name}: the input has another size`);
  return {
    version: tf.version,
    prepareMs,
    async run() {
      const x = tf.tensor(data, inputShape);
      const y = tf.tidy(() => runNet(opsOf(tf, units), name, x));
      const output = Float32Array.from(await y.data());
      x.dispose();
      y.dispose();
      return output;
    },
    close() {
      for (const { filter, bias } of units.values()) for (const weights of [filter, bias]) weights.dispose();
    },
  };
}
