// The op cases of test/cases in the page.
import { openGpu } from "../../../src/gpu/device.ts";
import type { CallContext } from "../../../src/host/page/rpc.ts";
import { checkCase, TESTED } from "../../cases/check.ts";

export function countCases(): number {
  return TESTED.length;
}

/** Runs every case once out of poisoned memory; one line for each output that is wrong, or case that fails. */
export async function runCases(_args: unknown, { progress }: CallContext): Promise<string[]> {
  using gpu = await openGpu();
  const wrong: string[] = [];
  gpu.device.onuncapturederror = ({ error }) => wrong.push(error.message);
  for (const [i, opCase] of TESTED.entries()) {
    try {
      wrong.push(...(await checkCase(gpu, opCase)));
    } catch (error) {
      wrong.push(`${opCase.graph.name}: ${error}`);
    }
    progress(i);
  }
  return wrong;
}
