// What a case's weights are where they are not kept as f32, and how exact products with them are.

import type { Value } from "../../src/core/graph.ts";
import { halfBits } from "../../src/core/half.ts";
import type { WeightForm } from "../../src/core/kept.ts";
import type { Dispatch } from "../../src/core/kernel.ts";
import type { Caps } from "../../src/core/op.ts";
import { type Plan, plan } from "../../src/core/plan.ts";
import { EPSILON } from "../close.ts";
import type { OpCase } from "./case.ts";
import { halfValue } from "./half.ts";

type Tensors = ReadonlyMap<string, Float32Array>;

/** Unit roundoff of f16, and its smallest subnormal number. */
const HALF_EPSILON = 2 ** -11;
const HALF_TINY = 2 ** -24;

/** Roundings to f16 on a product's way: a row's, a product's, and up to 15 of the sums of a slab of 16 products. */
export const IN_HALF = 17;
/** In subgroup matrices of f16 rows alone are rounded: a product of two f16 is an f32, and so are the sums. */
const ROWS_IN_HALF = 1;

/** Roundings to f16 on the way of a dispatch's products. */
export const halfRoundings = ({ retype = {} }: Dispatch): number =>
  retype.Component === "f16" ? ROWS_IN_HALF : retype.Four === "vec4h" ? IN_HALF : 0;

/**
 * What a sum of `terms` products may be off by with so many roundings to f16, each by a unit roundoff of what passes through it, or by what
 * a subnormal number lacks. The magnitude of the products follows from what f32 is allowed.
 */
export function halfAllowed(allowed: number, terms: number, roundings: number): number {
  const magnitude = allowed / ((terms + 3) * EPSILON);
  return allowed + roundings * (HALF_EPSILON * magnitude + terms * HALF_TINY);
}

/** Whether a device of that kind would keep weights of a case in a form that is not f32, and the reference can tell which numbers those are. */
export function keeps(opCase: Pick<OpCase, "graph" | "weights">, caps: Caps, weights: WeightForm): boolean {
  const planned = plan(opCase.graph, { ...caps, weights });
  const kept = planned.graph.values.filter(({ id }) => planned.kept.has(id));
  return kept.length > 0 && (weights !== "int8" || kept.every((value) => placesOf(value, opCase.weights)));
}

/** The tensors with the numbers that their weights hold as they are kept: those that only such weights read. */
export function asKept(planned: Plan, weights: Tensors): Map<string, Float32Array> {
  const tensors = new Map(weights);
  const read = (stored: boolean) => planned.graph.values.filter(({ id }) => planned.kept.has(id) === stored);
  const whole = new Set(read(false).flatMap(({ source }) => Object.keys(source?.tensors ?? {})));
  for (const value of read(true)) {
    const { form, blocks } = planned.kept.get(value.id)!;
    const names = Object.keys(value.source!.tensors).filter((name) => !whole.has(name));
    if (form !== "int8") {
      for (const name of names)
        tensors.set(
          name,
          weights.get(name)!.map((v) => halfValue(halfBits(v))),
        );
      continue;
    }
    const held = inBytes(
      value.source!.pack((name) => weights.get(name)!),
      16 * blocks,
    );
    const places = placesOf(value, weights)!;
    for (const name of names)
      tensors.set(
        name,
        tensors.get(name)!.map((v, i) => held[places.get(name)![i]!] ?? v),
      );
  }
  return tensors;
}

/** Packed weights as a byte and a scale of each channel hold them; every fourth of a panel's numbers is of the same channel. */
function inBytes(packed: Float32Array, panel: number): Float32Array {
  const largest = new Float32Array((4 * packed.length) / panel);
  const channel = (at: number) => 4 * Math.floor(at / panel) + (at % 4);
  for (const [at, value] of packed.entries()) largest[channel(at)] = Math.max(largest[channel(at)]!, Math.abs(value));
  return packed.map((value, at) => {
    const scale = Math.fround(largest[channel(at)]! / 127) || 1;
    return Math.round(value / scale) * scale;
  });
}

/**
 * Where each number of a weight's tensors stands among the packed ones, -1 for those that are not there (biases); null where they are
 * not the tensors' numbers, but sums of them.
 */
function placesOf({ source }: Value, weights: Tensors): Map<string, Int32Array> | null {
  const names = Object.keys(source!.tensors);
  const starts = new Map<string, number>();
  let count = 0;
  for (const name of names) {
    starts.set(name, count);
    count += weights.get(name)!.length;
  }
  // Packed, the numbers 1, 2, 3 ... tell where each one goes.
  const numbered = source!.pack((name) => weights.get(name)!.map((_, i) => starts.get(name)! + i + 1));
  const packed = source!.pack((name) => weights.get(name)!);
  const all = new Float32Array(count);
  for (const name of names) all.set(weights.get(name)!, starts.get(name)!);
  const places = new Int32Array(count).fill(-1);
  for (const [place, number] of numbered.entries()) {
    if (number === 0 && packed[place] === 0) continue;
    if (all[number - 1] !== packed[place] || places[number - 1] !== -1) return null;
    places[number - 1] = place;
  }
  return new Map(
    names.map((name) => [name, places.subarray(starts.get(name)!, starts.get(name)! + weights.get(name)!.length)]),
  );
}
