// An op case on a device, wherever that is: Node, a page, Deno.
import type { Graph, Value } from "../../src/core/graph.ts";
import type { WeightForm } from "../../src/core/kept.ts";
import { padChannels, unpadChannels } from "../../src/core/tensor.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { createSession, type Session } from "../../src/session.ts";
import { type Expected, mismatch } from "../close.ts";
import type { Feeds, OpCase } from "./case.ts";
import { CASES } from "./index.ts";
import { asKept, halfAllowed, IN_HALF } from "./kept.ts";

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

/** What f16 arithmetic may make of an answer. */
function inHalf(expected: Expected, { flops }: OpCase): Expected {
  const terms = flops / 2 / expected.want.length;
  return { ...expected, allowed: expected.allowed.map((allowed) => halfAllowed(allowed, terms, IN_HALF)) };
}
