// An op case on a device, wherever that is: Node, a page, Deno.
import type { Graph, Value } from "../../src/core/graph.ts";
import { halfBits } from "../../src/core/half.ts";
import type { Caps, HalfForm } from "../../src/core/op.ts";
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

/** How a case's weights are kept and multiplied. */
export type Form = "f32" | HalfForm;

/**
 * Runs a case out of poisoned memory; a line for each output that is wrong. With f16 weights the reference gets them as f16 holds
 * them: a product of an f16 and an f32 is rounded as any product of f32s, so the tolerance is that of f32, but for f16 arithmetic.
 */
export async function checkCase(gpu: Gpu, opCase: OpCase, form: Form = "f32"): Promise<string[]> {
  const half = form !== "f32";
  const on = half ? { ...gpu, caps: { ...gpu.caps, halfForm: form } } : gpu;
  using session = await createSession(on, opCase.graph, opCase.weights, { dtype: half ? "f16" : "f32" });
  const feeds = opCase.feeds(11);
  const weights = half ? asHalf(session.plan, opCase.weights) : opCase.weights;
  const got = await run(session, feeds);
  const exact = Object.entries(opCase.expected(feeds, weights));
  const wanted = form === "arithmetic" ? exact.map(([name, want]) => [name, inHalf(want, opCase)] as const) : exact;
  if (wanted.length === 0) return [`${opCase.graph.name} expects nothing`];
  const wrong = wanted.map(([name, want]) => mismatch(name, got[name]!, want));
  return wrong.flatMap((line) => (line ? [`${opCase.graph.name}: ${line}`] : []));
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
  const forms = [null, "native", "unpacked", "arithmetic"] as const;
  const classes = able.flatMap((product) => forms.map((form) => classOf({ ...product, form })));
  return able.length > 0 ? { ...caps, tuned: Object.fromEntries(classes.map((name) => [name, body])) } : null;
}

/** The device with those capabilities. */
export function inBody(gpu: Gpu, graph: Graph, body: BodyName): Gpu | null {
  const caps = choosing(gpu.caps, graph, body);
  return caps && { ...gpu, caps };
}

/** Cases of which a device of that kind would keep weights as f16. */
export const halved = (opCase: OpCase, caps: Caps): boolean =>
  plan(opCase.graph, { ...caps, halfWeights: true }).half.size > 0;

/** The tensors with those rounded that only weights stored as f16 read. */
function asHalf({ graph, half }: Plan, weights: OpCase["weights"]): Map<string, Float32Array> {
  const rounded = new Map(weights);
  const read = (stored: boolean) =>
    graph.values
      .filter(({ id }) => half.has(id) === stored)
      .flatMap(({ source }) => Object.keys(source?.tensors ?? {}));
  const whole = new Set(read(false));
  for (const name of read(true)) {
    if (whole.has(name)) continue;
    rounded.set(
      name,
      weights.get(name)!.map((value) => halfValue(halfBits(value))),
    );
  }
  return rounded;
}
