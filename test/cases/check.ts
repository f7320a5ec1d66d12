// An op case on a device, wherever that is: Node, a page, Deno.
import type { Graph, Value } from "../../src/core/graph.ts";
import { halfBits } from "../../src/core/half.ts";
import type { Caps } from "../../src/core/op.ts";
import { type Plan, plan } from "../../src/core/plan.ts";
import { padChannels, unpadChannels } from "../../src/core/tensor.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { createSession, type Session } from "../../src/session.ts";
import { mismatch } from "../close.ts";
import type { Feeds, OpCase } from "./case.ts";
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
 * Runs a case out of poisoned memory; a line for each output that is wrong. With dtype f16 the reference gets the weights as
 * f16 holds them: a product of an f16 and an f32 is rounded as any product of f32s, so the tolerance is that of f32.
 */
export async function checkCase(gpu: Gpu, opCase: OpCase, dtype: "f32" | "f16" = "f32"): Promise<string[]> {
  using session = await createSession(gpu, opCase.graph, opCase.weights, { dtype });
  const feeds = opCase.feeds(11);
  const weights = dtype === "f16" ? asHalf(session.plan, opCase.weights) : opCase.weights;
  const got = await run(session, feeds);
  const wanted = Object.entries(opCase.expected(feeds, weights));
  if (wanted.length === 0) return [`${opCase.graph.name} expects nothing`];
  const wrong = wanted.map(([name, want]) => mismatch(name, got[name]!, want));
  return wrong.flatMap((line) => (line ? [`${opCase.graph.name}: ${line}`] : []));
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

/** The number that 16 bits stand for (IEEE 754-2008, binary16), finite ones only. */
function halfValue(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  const size = exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -size : size;
}
