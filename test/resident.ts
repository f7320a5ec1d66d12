// Prints how much resident memory the upload of STAM-16's weights takes beyond the GPU's copies of them, which on a
// software adapter are in the same process. Run by test/streaming.test.ts with --expose-gc: it measures what is alive,
// not when V8 gets round to collecting the rest (it lets about 64 MiB gather).
import { readFileSync } from "node:fs";
import { describeModel } from "../src/classifier.ts";
import { wantedTensors } from "../src/core/graph.ts";
import { plan } from "../src/core/plan.ts";
import { makeBuffers } from "../src/gpu/buffers.ts";
import { openGpu } from "../src/gpu/device.ts";
import { uploadWeights } from "../src/gpu/prepare.ts";
import { openDawn } from "../src/host/dawn.ts";
import { buildModel } from "../src/models/index.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { openTensors } from "../src/weights/load.ts";
import { virtualFile } from "./virtual_file.ts";
import { stam } from "./weights/support/transformer_names.ts";

const resident = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]) * 1024;

const dawn = await openDawn();
const gpu = await openGpu({ gpu: dawn.gpu });
const file = virtualFile(stam());
const checkpoint = await openCheckpoint(file);
const { description, recognised } = describeModel(checkpoint);
const graph = buildModel(description);
const planned = plan(graph, gpu.caps);
const tensors = openTensors(checkpoint, wantedTensors(graph), recognised.tensors);
const buffers = makeBuffers(gpu.device, planned);
const values = graph.values.filter((value) => value.kind === "weight");

// A buffer becomes resident as a whole when it is first written.
const written = new Set<GPUBuffer>();
const { queue } = gpu.device;
const writeBuffer = queue.writeBuffer.bind(queue);
queue.writeBuffer = (buffer: GPUBuffer, ...rest: never) => {
  written.add(buffer);
  return (writeBuffer as (...given: unknown[]) => undefined)(buffer, ...(rest as unknown[]));
};

const before = resident();
let beyond = 0;
let done = 0;
await uploadWeights(gpu.device, planned, buffers, tensors, () => {
  done++;
  globalThis.gc!();
  const copies = [...written].reduce((sum, { size }) => sum + size, 0);
  beyond = Math.max(beyond, resident() - before - copies);
});
if (done !== values.length) throw new Error(`${done} of ${values.length} weights were uploaded`);
console.log(JSON.stringify({ beyond, largest: file.largest, size: file.size }));
buffers.destroy();
gpu.dispose();
dawn.close();
