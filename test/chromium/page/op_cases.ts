// The op cases of test/cases in the page.
import type { Graph } from "../../../src/core/graph.ts";
import { padChannels, unpadChannels } from "../../../src/core/tensor.ts";
import { openGpu } from "../../../src/gpu/device.ts";
import type { CallContext } from "../../../src/host/page/rpc.ts";
import { createSession, type Session } from "../../../src/session.ts";
import type { Feeds, OpCase } from "../../cases/case.ts";
import { CASES } from "../../cases/index.ts";
import { mismatch } from "../../close.ts";

const tested = CASES.filter(({ bench }) => !bench);
const stateOf = (graph: Graph) => graph.values.find((value) => value.kind === "state");

export function countCases(): number {
  return tested.length;
}

/** Fills the activations with NaN: what a kernel should have written and did not, shows. */
function poison({ plan: { graph }, gpu, range }: Session, session: Session): void {
  const live = graph.values.filter((value) => value.kind === "temp" || value.kind === "input");
  for (const buffer of new Set(live.map((value) => range.call(session, value.name).buffer)))
    gpu.device.queue.writeBuffer(buffer, 0, new Float32Array(buffer.size / 4).fill(Number.NaN));
}

async function run(session: Session, feeds: Feeds): Promise<Record<string, Float32Array>> {
  const state = stateOf(session.plan.graph);
  poison(session, session);
  if (!state) return session.run(feeds);
  const { [state.name]: before, ...inputs } = feeds;
  const bytes = new Uint8Array((await session.snapshot()).length);
  bytes.set(new Uint8Array(padChannels(before!, state.spec).slice().buffer));
  session.restore(bytes);
  const outputs = await session.run(inputs);
  const after = new Float32Array((await session.snapshot()).buffer, 0, state.bytes / 4).slice();
  return { ...outputs, [state.name]: unpadChannels(after, state.spec) };
}

async function check(opCase: OpCase, gpu: Awaited<ReturnType<typeof openGpu>>): Promise<string[]> {
  using session = await createSession(gpu, opCase.graph, opCase.weights);
  const feeds = opCase.feeds(11);
  const got = await run(session, feeds);
  const wanted = Object.entries(opCase.expected(feeds));
  if (wanted.length === 0) return [`${opCase.graph.name} expects nothing`];
  const wrong = wanted.map(([name, want]) => mismatch(name, got[name]!, want));
  return wrong.flatMap((line) => (line ? [`${opCase.graph.name}: ${line}`] : []));
}

/** Runs every case once out of poisoned memory; one line for each output that is wrong, or case that fails. */
export async function runCases(_args: unknown, { progress }: CallContext): Promise<string[]> {
  using gpu = await openGpu();
  const wrong: string[] = [];
  gpu.device.onuncapturederror = ({ error }) => wrong.push(error.message);
  for (const [i, opCase] of tested.entries()) {
    try {
      wrong.push(...(await check(opCase, gpu)));
    } catch (error) {
      wrong.push(`${opCase.graph.name}: ${error}`);
    }
    progress(i);
  }
  return wrong;
}
