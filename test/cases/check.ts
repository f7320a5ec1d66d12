// An op case on a device, wherever that is: Node, a page, Deno.
import type { Graph, Value } from "../../src/core/graph.ts";
import { halfBits } from "../../src/core/half.ts";
import type { WeightForm } from "../../src/core/kept.ts";
import type { Caps } from "../../src/core/op.ts";
import { type Plan, plan } from "../../src/core/plan.ts";
import { padChannels, unpadChannels } from "../../src/core/tensor.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { type BodyName, bodiesFor, classOf, productOf } from "../../src/ops/matmul_body.ts";
import { createSession, type Session } from "../../src/session.ts";
import { EPSILON, type Expected, mismatch } from "../close.ts";
import type { Feeds, OpCase } from "./case.ts";
import { halfValue } from "./half.ts";
import { CASES } from "./index.ts";

/** The cases that are checked everywhere; the others are large, for timing. */
export const TESTED: readonly OpCase[] = CASES.filter(({ bench }) => !bench);

const stateOf = (graph: Graph): Value | undefined => graph.values.find((value) => value.kind === "state");

/** Fills the activations with NaN: what a kernel should have written and did not, shows. */
function poison(session: Session): void {
  const live = session.plan.graph.values.filter((value) => value.kind === "temp" || value.kind === "input");
  for (const buffer of new Set(live.map((value) => session.range(value.name).buffer)))
    session.gpu.device.queue.writeBuffer(buffer, 0, new Float32Array(buffer.size / 4).fill(Number.NaN));
}

async function run(session: Session, feeds: Feeds): Promise<Record<string, Float32Array>> {
  const state = stateOf(session.plan.graph);
  poison(session);
  if (!state) return session.run(feeds);
  const { [state.name]: before, ...inputs } = feeds;
  const bytes = new Uint8Array((await session.snapshot()).length);
  bytes.set(new Uint8Array(padChannels(before!, state.spec).slice().buffer));
  session.restore(bytes);
  const outputs = await session.run(inputs);
  const after = new Float32Array((await session.snapshot()).buffer, 0, state.bytes / 4).slice();
  return { ...outputs, [state.name]: unpadChannels(after, state.spec) };
}

/**
 * Runs a case out of poisoned memory, twice; a line for each output that is wrong. The reference gets weights as they are kept:
 * an f16 or a byte times its scale is an f32, so the tolerance is that of f32, but for f16 arithmetic.
 */
export async function checkCase(gpu: Gpu, opCase: OpCase, form: WeightForm = "f32"): Promise<string[]> {
  const on = { ...gpu, caps: { ...gpu.caps, weights: form } };
  using session = await createSession(on, opCase.graph, opCase.weights);
  const feeds = opCase.feeds(11);
  const weights = asKept(session.plan, opCase.weights);
  const got = await run(session, feeds);
  const again = await run(session, feeds);
  const exact = Object.entries(opCase.expected(feeds, weights));
  const wanted = form === "arithmetic" ? exact.map(([name, want]) => [name, inHalf(want, opCase)] as const) : exact;
  if (wanted.length === 0) return [`${opCase.graph.name} expects nothing`];
  const wrong = wanted.map(([name, want]) => mismatch(name, got[name]!, want));
  const same = Object.entries(got).every(([name, data]) => data.every((v, i) => Object.is(v, again[name]![i])));
  return [...wrong, same ? null : "another answer the second time"].flatMap((line) =>
    line ? [`${opCase.graph.name}: ${line}`] : [],
  );
}

/** Unit roundoff of f16, and its smallest subnormal number. */
const HALF_EPSILON = 2 ** -11;
const HALF_TINY = 2 ** -24;

/**
 * What f16 arithmetic may add: a row is rounded, a product, and up to 15 sums of a slab of 16 products, each by a unit roundoff of what
 * passes through it, or by what a subnormal number lacks. The magnitude of the products follows from what f32 is allowed.
 */
function inHalf(expected: Expected, { flops }: OpCase): Expected {
  const terms = flops / 2 / expected.want.length;
  const roundings = 17;
  return {
    ...expected,
    allowed: expected.allowed.map((allowed) => {
      const magnitude = allowed / ((terms + 3) * EPSILON);
      return allowed + roundings * (HALF_EPSILON * magnitude + terms * HALF_TINY);
    }),
  };
}

/** A device's capabilities with `body` chosen wherever it can compute a product of the graph, with any weights; null if it cannot any. */
export function choosing(caps: Caps, graph: Graph, body: BodyName): Caps | null {
  const products = plan(graph, caps).steps.flatMap(({ dispatch }) => productOf(dispatch) ?? []);
  const able = products.filter((product) => bodiesFor(product, caps).includes(body));
  const forms = ["f32", "native", "unpacked", "arithmetic", "int8"] as const;
  const classes = able.flatMap((product) => forms.map((form) => classOf({ ...product, form })));
  return able.length > 0 ? { ...caps, tuned: Object.fromEntries(classes.map((name) => [name, body])) } : null;
}

/** The device with those capabilities. */
export function inBody(gpu: Gpu, graph: Graph, body: BodyName): Gpu | null {
  const caps = choosing(gpu.caps, graph, body);
  return caps && { ...gpu, caps };
}

/** Whether a device of that kind would keep weights of a case in a form that is not f32, and the reference can tell which numbers those are. */
export function keeps(opCase: OpCase, caps: Caps, weights: WeightForm): boolean {
  const planned = plan(opCase.graph, { ...caps, weights });
  const kept = planned.graph.values.filter(({ id }) => planned.kept.has(id));
  return kept.length > 0 && (weights !== "int8" || kept.every((value) => placesOf(value, opCase.weights)));
}

/** The tensors with the numbers that their weights hold as they are kept: those that only such weights read. */
function asKept(planned: Plan, weights: OpCase["weights"]): Map<string, Float32Array> {
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
  return packed.map((value, at) => {
    const first = Math.floor(at / panel) * panel;
    const channel = packed.subarray(first, first + panel).filter((_, i) => i % 4 === at % 4);
    const scale = Math.fround(Math.max(...channel.map(Math.abs)) / 127) || 1;
    return Math.round(value / scale) * scale;
  });
}

/**
 * Where each number of a weight's tensors stands among the packed ones, -1 for those that are not there (biases); null where they are
 * not the tensors' numbers, but sums of them.
 */
function placesOf({ source }: Value, weights: OpCase["weights"]): Map<string, Int32Array> | null {
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
