// Loading takes a tensor's memory, not a file's: what is alive on the CPU while a session is made.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { type Graph, GraphBuilder, wantedTensors } from "../src/core/graph.ts";
import { tensor } from "../src/core/tensor.ts";
import { unit } from "../src/models/layers.ts";
import { LINEAR, matmul } from "../src/ops/index.ts";
import { createSession } from "../src/session.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { openTensors } from "../src/weights/load.ts";
import { useGpu } from "./gpu.ts";
import { virtualFile } from "./virtual_file.ts";

const fixture = useGpu();
const MIB = 2 ** 20;
const WIDTH = 1536;
const LAYERS = 14;

/** Square linear layers, one after another: 9 MiB each, as the largest of STAM's. */
function deep(): Graph {
  const g = new GraphBuilder("deep");
  let x = g.input("x", tensor(1, WIDTH));
  for (let layer = 0; layer < LAYERS; layer++) {
    const shape = { out: WIDTH, input: WIDTH, kernel: 1, linear: true, batchNorm: false, bias: true };
    const weights = unit(g, `layers.${layer}`, shape);
    x = g.apply(matmul, `layers.${layer}`, { x, ...weights }, { out: WIDTH, activation: LINEAR }).y!;
  }
  g.output("y", x);
  return g.build();
}

it("keeps no more than a few of the largest tensors in memory, and reads every byte once", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const alive = () => {
    collect();
    return process.memoryUsage().arrayBuffers;
  };
  const graph = deep();
  const wanted = wantedTensors(graph);
  let [before, most, seen] = [0, 0, 0];
  const file = virtualFile(Object.fromEntries(wanted), () => {
    most = Math.max(most, alive() - before);
  });
  const checkpoint = await openCheckpoint(file);
  const tensors = openTensors(checkpoint, wanted, new Map([...wanted.keys()].map((name) => [name, name])));
  before = alive();
  const onProgress = () => {
    seen++;
    most = Math.max(most, alive() - before);
  };
  using session = await createSession(fixture.as("gpu"), graph, tensors, { onProgress });
  expect(file.size).toBeGreaterThan(120 * MIB);
  expect(seen).toBeGreaterThan(2 * LAYERS);
  // A tensor as it was read and as it is packed, and packed ones that wait for the GPU: 8 MiB and the one that is too many.
  expect(most).toBeLessThanOrEqual(3 * file.largest + 8 * MIB);
  expect(3 * file.largest + 8 * MIB).toBeLessThanOrEqual(file.largest + 64 * MIB);
  expect(most).toBeGreaterThan(file.largest);
  expect(file.asked()).toBe(file.size + 512); // the first bytes tell what kind of file it is
  // 0.01 times the sum of the inputs plus 0.01, over and over: the weights did arrive.
  const { y } = await session.run({ x: new Float32Array(WIDTH).fill(1) });
  let expected = 1;
  for (let layer = 0; layer < LAYERS; layer++) expected = 0.01 * WIDTH * expected + 0.01;
  expect(y!.every((value) => Math.abs(value / expected - 1) < 1e-4)).toBe(true);
});

// Half a gigabyte and a minute: KINEMA_LONG=1 npx vitest run test/streaming.test.ts
it.skipIf(!process.env.KINEMA_LONG)(
  "STAM-16, 477 MB: resident memory beyond the GPU's copy",
  { timeout: 300_000 },
  () => {
    const program = fileURLToPath(new URL("resident.ts", import.meta.url));
    const runner = fileURLToPath(new URL("../tools/run.mjs", import.meta.url));
    const env = { ...process.env, NODE_OPTIONS: "--expose-gc" };
    const { stdout, stderr } = spawnSync(process.execPath, [runner, program], { env, encoding: "utf8" });
    expect(stderr).toBe("");
    const { beyond, largest, size } = JSON.parse(stdout) as Record<string, number>;
    expect(size).toBeGreaterThan(476e6);
    expect(beyond).toBeLessThanOrEqual(largest! + 64 * MIB);
    expect(beyond).toBeGreaterThan(0);
  },
);
