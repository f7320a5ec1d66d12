// The block features.12 of the official online Jester checkpoint in f64, with the inputs of tsm-stam.md 2.6.
import type { Checkpoint } from "../src/weights/checkpoint.ts";
import { recognise } from "../src/weights/recognise.ts";

const SIDE = 14;
const PIXELS = SIDE * SIDE;

/** The block's fifteen tensors by canonical name; the only ones of their kind in the first MiB of the file. */
export async function blockTensors(checkpoint: Checkpoint): Promise<Map<string, Float32Array>> {
  const names = [...recognise(checkpoint).tensors].filter(([name]) => name.startsWith("blocks.12."));
  if (names.length !== 15) throw new Error(`${names.length} tensors of blocks.12, 15 wanted`);
  const tensors = new Map<string, Float32Array>();
  for (const [name, raw] of names) tensors.set(name, await checkpoint.readF32(raw));
  return tensors;
}

/** f(0.1 c + 0.2 y + 0.3 x), [channels, 14, 14]. */
const wave = (channels: number, f: (angle: number) => number): Float64Array =>
  Float64Array.from({ length: channels * PIXELS }, (_, i) =>
    f(0.1 * Math.floor(i / PIXELS) + 0.2 * Math.floor((i % PIXELS) / SIDE) + 0.3 * (i % SIDE)),
  );

/** The block's input [96, 14, 14] and the states [12, 14, 14] of the three columns of 2.6. */
export function blockInputs() {
  const x = wave(96, Math.sin);
  const unshifted = x.slice(0, 12 * PIXELS);
  return { x, states: { given: wave(12, Math.cos), zero: new Float64Array(12 * PIXELS), unshifted } };
}

/** Expansion, depthwise 3x3, projection, residual; [channels, 14, 14]. */
export class Block12 {
  private readonly tensors: ReadonlyMap<string, Float32Array>;
  constructor(tensors: ReadonlyMap<string, Float32Array>) {
    this.tensors = tensors;
  }
  private get(name: string): Float32Array {
    return this.tensors.get(`blocks.12.${name}`)!;
  }
  private norm(unit: string, x: Float64Array, clamp: boolean): Float64Array {
    const [gamma, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map((part) =>
      this.get(`${unit}.bn.${part}`),
    );
    return x.map((value, i) => {
      const c = Math.floor(i / PIXELS);
      const y = ((value - mean![c]!) / Math.sqrt(variance![c]! + 1e-5)) * gamma![c]! + beta![c]!;
      return clamp ? Math.min(6, Math.max(0, y)) : y;
    });
  }
  private pointwise(unit: string, x: Float64Array, to: number): Float64Array {
    const weight = this.get(`${unit}.weight`);
    const from = x.length / PIXELS;
    const y = new Float64Array(to * PIXELS);
    for (let o = 0; o < to; o++) {
      for (let c = 0; c < from; c++) {
        const w = weight[o * from + c]!;
        for (let p = 0; p < PIXELS; p++) y[o * PIXELS + p]! += w * x[c * PIXELS + p]!;
      }
    }
    return y;
  }
  private depthwise(x: Float64Array): Float64Array {
    const weight = this.get("depthwise.weight");
    return x.map((_, i) => {
      const [c, row, column] = [Math.floor(i / PIXELS), Math.floor((i % PIXELS) / SIDE), i % SIDE];
      let sum = 0;
      for (let tap = 0; tap < 9; tap++) {
        const [y, z] = [row + Math.floor(tap / 3) - 1, column + (tap % 3) - 1];
        if (y >= 0 && y < SIDE && z >= 0 && z < SIDE) sum += weight[c * 9 + tap]! * x[c * PIXELS + y * SIDE + z]!;
      }
      return sum;
    });
  }
  run(x: Float64Array, state: Float64Array): Float64Array {
    const mixed = x.slice();
    mixed.set(state);
    const expanded = this.norm("expand", this.pointwise("expand", mixed, 576), true);
    const filtered = this.norm("depthwise", this.depthwise(expanded), true);
    const projected = this.norm("project", this.pointwise("project", filtered, 96), false);
    return projected.map((value, i) => value + x[i]!);
  }
}
