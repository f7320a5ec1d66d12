import { type Graph, GraphBuilder } from "../src/core/graph.ts";
import { tensor } from "../src/core/tensor.ts";
import { type Gpu, openGpu } from "../src/gpu/device.ts";
import { buildModel, type ModelDescription, type ModelName } from "../src/models/index.ts";
import { unit } from "../src/models/layers.ts";
import { conv2d, LINEAR, mean, pad, RELU6, stateSpec } from "../src/ops/index.ts";
import { createSession, type Session } from "../src/session.ts";
import { Random } from "./cases/random.ts";
import { recordCreations } from "./creations.ts";
import { describeModel } from "./describe_model.ts";
import { useGpu } from "./gpu.ts";
import { syntheticTensors } from "./synthetic_model.ts";

export const fixture = useGpu();

export const open = (graph: Graph, gpu: Gpu = fixture.as("gpu")) => createSession(gpu, graph, syntheticTensors(graph));

/** A network in little: two blocks with a shift from the past. One frame at a time it is a stream, else a clip. */
export function tinyNet(frames: number): Graph {
  const g = new GraphBuilder("tiny");
  let x = g.input("video", tensor(frames, 3, 5, 12));
  const plain = { kernel: 1, stride: 1, padding: pad(0) };
  for (const [i, fold] of [3, 4].entries()) {
    const name = `blocks.${i}`;
    const shift = { mode: "past", fold } as const;
    const past = frames === 1 ? g.state(`${name}.past`, stateSpec(x.spec, fold)) : undefined;
    const common = { kernel: 1, batchNorm: false, bias: true };
    const expand = unit(g, `${name}.expand`, { out: 18, input: 12, ...common, shift });
    const wide = g.apply(
      conv2d,
      `${name}.expand`,
      { x, ...expand, past },
      { out: 18, ...plain, activation: RELU6, shift },
    ).y!;
    const project = unit(g, `${name}.project`, { out: 12, input: 18, ...common });
    const values = { x: wide, ...project, residual: x, carry: past };
    x = g.apply(conv2d, `${name}.project`, values, { out: 12, ...plain, activation: LINEAR }).y!;
  }
  g.output("logits", g.apply(mean, "pool", { x }, { groups: frames }).y!);
  return g.build();
}
export const TINY = 3 * 5 * 12;
export const openTiny = (gpu?: Gpu) => open(tinyNet(1), gpu);

export const frame = (seed: number, length = TINY) => new Random(seed).normal(length);
export const push = async (session: Session, seed: number) => (await session.run({ video: frame(seed) })).logits!;

/** Long enough for some runs to be submitted, too short for one to be read back. */
export const submitted = async () => {
  for (let i = 0; i < 100; i++) await null;
};

/** The real networks, odd and unequal in size, small enough that the last feature maps are 2x2. */
export const SIZE = { height: 33, width: 47, classes: 5 };
export const PIXELS = SIZE.height * SIZE.width * 3;
export const modelGraph = (model: ModelName, changes: Partial<ModelDescription> = {}) =>
  buildModel(describeModel(model, { ...SIZE, ...changes }));

/** One 1x1 convolution: for what has nothing to do with models. */
export function smallGraph(frames = 2): Graph {
  const g = new GraphBuilder("small");
  const x = g.input("x", tensor(frames, 3, 5, 4));
  const weights = unit(g, "stem", { out: 6, input: 4, kernel: 1, batchNorm: false, bias: true });
  const attrs = { out: 6, kernel: 1, stride: 1, padding: pad(0), activation: LINEAR };
  g.output("y", g.apply(conv2d, "conv", { x, ...weights }, attrs).y!);
  return g.build();
}
export const SMALL = 2 * 3 * 5 * 4;

/** A device of its own, for tests that harm it. */
export async function ownGpu(): Promise<Gpu> {
  return openGpu({ gpu: fixture.dawn.gpu });
}

/** Counts what is made on a device while `work` runs. */
export async function made(device: GPUDevice, work: () => Promise<unknown>): Promise<Readonly<Record<string, number>>> {
  const { counts, stop } = recordCreations(device);
  try {
    await work();
  } finally {
    stop();
  }
  return counts;
}

/** Counts buffers made and not destroyed on a device, from now on. */
export function watchBuffers(device: GPUDevice): { made(): number; left(): number } {
  let [made, destroyed] = [0, 0];
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    made++;
    const buffer = create(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      destroyed++;
      buffer.destroy = () => undefined as never;
      return destroy();
    };
    return buffer;
  };
  return { made: () => made, left: () => made - destroyed };
}
