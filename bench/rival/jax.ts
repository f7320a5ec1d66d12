/** jax-js on WebGPU, compiled with its jit: channels first. Its ops consume their arguments; `ref` keeps one for another use. */
import { wantedTensors } from "../../src/core/graph.ts";
import { type CaseName, foldedUnit, inKinemasOrder, inputOf, RIVAL_CASES, unitNames } from "./cases.ts";
import type { Engine } from "./compare.ts";
import type { Places } from "./engines.ts";
import { type Ops, runNet } from "./nets.ts";

interface JaxArray {
  readonly ref: JaxArray;
  readonly shape: readonly number[];
  data(): Promise<Float32Array>;
  add(y: JaxArray): JaxArray;
  reshape(shape: readonly number[]): JaxArray;
  dispose(): void;
}
interface JaxModule {
  readonly version: string;
  init(...devices: "webgpu"[]): Promise<readonly string[]>;
  defaultDevice(device: "webgpu"): string;
  readonly numpy: {
    array(data: Float32Array, options?: { shape: readonly number[] }): JaxArray;
    matmul(x: JaxArray, y: JaxArray): JaxArray;
    clip(x: JaxArray, low: number, high?: number): JaxArray;
    mean(x: JaxArray, axes: readonly number[]): JaxArray;
    transpose(x: JaxArray): JaxArray;
  };
  readonly lax: {
    convGeneralDilated(
      x: JaxArray,
      w: JaxArray,
      strides: readonly number[],
      padding: readonly (readonly [number, number])[],
      options?: { featureGroupCount?: number },
    ): JaxArray;
  };
  jit<F>(f: F): F & { dispose(): void };
}

interface Unit {
  readonly weight: JaxArray;
  readonly bias: JaxArray;
}

function opsOf({ numpy: np, lax }: JaxModule, units: ReadonlyMap<string, Unit>): Ops<JaxArray> {
  const filtered = (x: JaxArray, name: string, stride: number, activation: string, grouped: boolean): JaxArray => {
    const { weight, bias } = units.get(name)!;
    const border = (weight.shape[2]! - 1) / 2;
    const around = [border, border] as const;
    const options = grouped ? { featureGroupCount: weight.shape[0]! } : {};
    const y = lax.convGeneralDilated(x, weight.ref, [stride, stride], [around, around], options).add(bias.ref);
    if (activation === "linear") return y;
    return activation === "relu6" ? np.clip(y, 0, 6) : np.clip(y, 0);
  };
  const absent = (): never => {
    throw new Error("not written for jax-js");
  };
  return {
    conv: (x, name, stride, activation) => filtered(x, name, stride, activation, false),
    depthwise: (x, name, stride, activation) => filtered(x, name, stride, activation, true),
    linear(x, name) {
      const { weight, bias } = units.get(name)!;
      return np.matmul(x, np.transpose(weight.ref)).add(bias.ref);
    },
    shift: absent,
    sum: (x, y) => x.add(y),
    relu: (x) => np.clip(x, 0),
    maxPool: absent,
    pool: (x) => np.mean(x, [2, 3]),
    consensus: (x) => np.mean(x, [0]),
    again: (x) => x.ref,
  };
}

export async function openJax(name: CaseName, places: Places): Promise<Engine> {
  const jax = (await import(new URL("jax.js", places.scripts).href)) as JaxModule;
  const { shape, output: outputShape } = RIVAL_CASES[name];
  const data = inputOf(name);
  const tensors = wantedTensors(RIVAL_CASES[name].graph());
  const start = performance.now();
  if (!(await jax.init("webgpu")).includes("webgpu")) throw new Error("it finds no WebGPU");
  jax.defaultDevice("webgpu");
  const units = new Map(
    unitNames(tensors).map((unit) => {
      const folded = foldedUnit(tensors, unit);
      const row = folded.shape.length === 2 ? [folded.bias.length] : [1, folded.bias.length, 1, 1];
      const weight = jax.numpy.array(folded.weight, { shape: folded.shape });
      return [unit, { weight, bias: jax.numpy.array(folded.bias, { shape: row }) }] as const;
    }),
  );
  const network = jax.jit((x: JaxArray) => runNet(opsOf(jax, units), name, x));
  const prepareMs = performance.now() - start;
  return {
    version: jax.version,
    prepareMs,
    run: async () => Float32Array.from(await network(jax.numpy.array(data, { shape })).data()),
    arrange: (output) => inKinemasOrder(output, outputShape),
    close() {
      network.dispose();
      for (const { weight, bias } of units.values()) for (const array of [weight, bias]) array.dispose();
    },
  };
}
