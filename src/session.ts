import { fail } from "./core/fail.ts";
import { countMacs, countParameters, type Graph, type TensorSource, type Value } from "./core/graph.ts";
import { formOf, type WeightType } from "./core/kept.ts";
import { type Plan, type PlanOptions, plan } from "./core/plan.ts";
import { elements, padChannels, shapeText } from "./core/tensor.ts";
import { Turns } from "./core/turns.ts";
import { checkLimits, makeBuffers, type SessionBuffers, scoped } from "./gpu/buffers.ts";
import type { Gpu } from "./gpu/device.ts";
import { unlessLost } from "./gpu/lost.ts";
import { bindSteps, compileSteps, type ReadyStep, uploadWeights } from "./gpu/prepare.ts";
import { type Profile, type ProfileOptions, profileSteps } from "./gpu/profile.ts";
import {
  copyOut,
  mapped,
  placeReadings,
  type Reading,
  readBack,
  recordSteps,
  stagingBuffer,
  stagingBuffers,
} from "./gpu/record.ts";
import { Ring } from "./gpu/ring.ts";

/** A range of a GPU buffer. */
export interface GpuRange {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** What fills an input: numbers in the input's logical shape, or commands that write it on the GPU. */
export type Feed = Float32Array<ArrayBuffer> | ((encoder: GPUCommandEncoder, target: GpuRange) => void);

export interface RunOptions {
  /** Names of values to read back as well; each splits the command buffer behind the step that makes it. */
  readonly tap?: readonly string[];
  readonly signal?: AbortSignal;
}

export interface SessionOptions extends PlanOptions {
  /**
   * How the weights of matrix products are kept (see DType); sums are f32 whatever it is. f16 takes the form that `gpu.caps.weights` names,
   * which withPrecision measures, else that in words. Default: as `gpu.caps.weights` says, else f32.
   */
  readonly dtype?: WeightType;
  readonly signal?: AbortSignal;
  /** Called as weights are packed and pipelines compile; `fraction` grows from 0 to 1. */
  readonly onProgress?: (progress: { readonly phase: "upload" | "compile"; readonly fraction: number }) => void;
}

type Answers = Record<string, Float32Array<ArrayBuffer>>;

/**
 * Makes a graph real on a device: plans its memory, packs and uploads the weights, compiles every pipeline in parallel and
 * makes every bind group. After this, a run creates no GPU object.
 *
 * @param weights checkpoint tensors by canonical name, f32, as `graph`'s weights ask for them (see wantedTensors): a Map, or
 *   a reader of which each is asked for once or twice, one after another, so that no two large ones are in memory
 * @throws "limit-exceeded" before any allocation when the plan needs more than the device has; "out-of-memory"; "not-finite" for
 *   weights that int8 cannot keep; what reading a tensor throws
 */
export async function createSession(
  gpu: Gpu,
  graph: Graph,
  weights: TensorSource,
  options: SessionOptions = {},
): Promise<Session> {
  const planned = plan(graph, { ...gpu.caps, weights: formOf(options.dtype, gpu.caps.weights) }, options);
  checkLimits(gpu.device, planned);
  options.signal?.throwIfAborted();
  const report = options.onProgress ?? (() => {});
  const make = <T>(work: () => T, undo?: (made: T) => void) => scoped(gpu.device, `session ${graph.name}`, work, undo);
  const compiled = compileSteps(gpu.device, planned, (fraction) => report({ phase: "compile", fraction }));
  const buffers = await make(
    () => makeBuffers(gpu.device, planned),
    (made) => made.destroy(),
  );
  try {
    const upload = (fraction: number) => report({ phase: "upload", fraction });
    await uploadWeights(gpu.device, planned, buffers, weights, upload, options.signal);
    const pipelines = await compiled;
    options.signal?.throwIfAborted();
    const session = await make(
      () => new Session(gpu, planned, buffers, bindSteps(gpu.device, planned, buffers, pipelines)),
      (made) => made.dispose(),
    );
    await unlessLost(gpu.lost, Promise.resolve());
    return session;
  } catch (error) {
    buffers.destroy();
    await unlessLost(gpu.lost, Promise.resolve());
    throw error;
  }
}

/** A plan made real: weights, memory, pipelines and bind groups. Runs are ordered; two sessions on a device do not touch each other. */
export class Session {
  readonly plan: Plan;
  readonly gpu: Gpu;
  readonly #buffers: SessionBuffers;
  readonly #steps: readonly ReadyStep[];
  readonly #ring: Ring;
  readonly #turns = new Turns();
  #closed = false;

  /** Use {@link createSession}. */
  constructor(gpu: Gpu, planned: Plan, buffers: SessionBuffers, steps: readonly ReadyStep[]) {
    this.gpu = gpu;
    this.plan = planned;
    this.#buffers = buffers;
    this.#steps = steps;
    this.#ring = new Ring(gpu.device, this.#readings([]));
  }

  /** Multiply-accumulates of a run and trained parameters, counted from the graph. */
  get counts(): { readonly macs: number; readonly parameters: number; readonly dispatches: number } {
    return {
      macs: countMacs(this.plan.graph),
      parameters: countParameters(this.plan.graph),
      dispatches: this.#steps.length,
    };
  }

  /**
   * One run: fills the inputs, dispatches every step in one pass and one submit, reads the outputs back in their logical
   * shapes (channels last). States advance. A run that was started is finished even if `signal` aborts; its result is dropped.
   * Of runs that are not awaited up to three are under way at once. Feeds are not copied: they must not change until the promise settles.
   * @throws "bad-input" for a missing, unknown or misshapen feed; "device-lost"; "closed"
   */
  async run(feeds: Readonly<Record<string, Feed>>, options: RunOptions = {}): Promise<Answers> {
    const { answers } = await this.#turns.take(() => this.#submit(feeds, options));
    const result = await answers;
    options.signal?.throwIfAborted();
    return result;
  }

  /**
   * Times every step of a run on the same feeds, over and over; the plan and what a run gives are the same before and after, and
   * so are the states. @throws "bad-input" as {@link run} does, "unsupported" when a clock is asked for that there is not
   */
  profile(feeds: Readonly<Record<string, Feed>>, options: ProfileOptions = {}): Promise<Profile> {
    return this.#turns.take(() => {
      this.#open();
      const fill = (encoder: GPUCommandEncoder) => this.#fill(encoder, feeds);
      const parts = { gpu: this.gpu, plan: this.plan, steps: this.#steps, buffers: this.#buffers };
      return profileSteps({ ...parts, fill, check: () => this.#open() }, options);
    });
  }

  /** At once, if nothing waits, so that commands which the caller encodes next come after. */
  #nowOrInTurn(work: () => void): void {
    this.#open();
    if (this.#turns.idle) work();
    else this.#turns.take(() => (this.#closed ? undefined : work())).catch(() => {});
  }

  /** Submits a run. Its answers are read outside of the turn, so that the next run need not wait for them. */
  async #submit(
    feeds: Readonly<Record<string, Feed>>,
    options: RunOptions,
  ): Promise<{ readonly answers: Promise<Answers> }> {
    const free = await this.#ring.free();
    this.#open();
    options.signal?.throwIfAborted();
    const { device } = this.gpu;
    const taps = (options.tap ?? []).map((name) => this.#madeBySteps(name));
    const readings = this.#readings(taps);
    const encoder = device.createCommandEncoder({ label: this.plan.graph.name });
    this.#fill(encoder, feeds);
    const staging = taps.length === 0 ? free : stagingBuffers(device, readings);
    const copy = (reading: Reading) => copyOut(encoder, this.#buffers, staging, reading);
    const outputs = Object.keys(this.plan.graph.outputs).length;
    recordSteps(encoder, this.#steps, readings.slice(outputs), copy);
    readings.slice(0, outputs).forEach(copy);
    device.queue.submit([encoder.finish()]);
    const answers = this.#ring.answers(async () => {
      try {
        return await readBack(this.gpu, staging, readings, () => this.#open());
      } finally {
        if (taps.length > 0) for (const buffer of staging) buffer.destroy();
      }
    });
    return { answers };
  }

  /** Records a run's dispatches into the caller's encoder: one submit a frame for the app and Kinema. Inputs are the caller's to fill (see {@link range}). */
  encode(encoder: GPUCommandEncoder): void {
    this.#open();
    recordSteps(encoder, this.#steps);
  }

  /** Where a named input or output lies on the GPU. Between runs other tensors use the same memory. */
  range(name: string): GpuRange {
    this.#open();
    return this.#buffers.range(this.#named(name), 0);
  }

  /** Zeroes every state: the next frame is the first. */
  reset(): void {
    this.#nowOrInTurn(() => {
      const encoder = this.gpu.device.createCommandEncoder();
      encoder.clearBuffer(this.#buffers.states);
      this.gpu.device.queue.submit([encoder.finish()]);
    });
  }

  /** The states as bytes, to continue a stream later or elsewhere. */
  snapshot(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#turns.take(async () => {
      this.#open();
      const { device } = this.gpu;
      const { size } = this.#buffers.states;
      const staging = stagingBuffer(device, size);
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(this.#buffers.states, 0, staging, 0, size);
      device.queue.submit([encoder.finish()]);
      await mapped(this.gpu, staging, size, () => this.#open());
      const bytes = new Uint8Array(staging.getMappedRange().slice(0));
      staging.destroy();
      return bytes;
    });
  }

  /** Puts back what {@link snapshot} gave. @throws "bad-input" when it is of another model */
  restore(snapshot: Uint8Array<ArrayBuffer>): void {
    this.#open();
    const { size } = this.#buffers.states;
    if (snapshot.byteLength !== size)
      fail("bad-input", `a snapshot of ${this.plan.graph.name} has ${size} bytes, this one has ${snapshot.byteLength}`);
    const bytes = snapshot.slice();
    this.#nowOrInTurn(() => this.gpu.device.queue.writeBuffer(this.#buffers.states, 0, bytes));
  }

  /** Frees the GPU memory; the device stays. Idempotent. */
  dispose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#buffers.destroy();
    this.#ring.destroy();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #open(): void {
    if (this.#closed) fail("closed", `this session of ${this.plan.graph.name} was disposed of; make another`);
  }

  #named(name: string): Value {
    const { graph } = this.plan;
    const value =
      graph.inputs[name] ?? graph.outputs[name] ?? graph.values.find((v) => v.name === name && v.kind !== "weight");
    return value ?? fail("bad-input", `${graph.name} has no tensor "${name}"`);
  }

  #madeBySteps(name: string): Value {
    const value = this.#named(name);
    if (this.#steps.some(({ made }) => made.includes(value))) return value;
    return fail("bad-input", `"${name}" of ${this.plan.graph.name} cannot be tapped: no step of a run makes it`);
  }

  /** Outputs first, then the taps that are not outputs. */
  #readings(taps: readonly Value[]): Reading[] {
    const outputs = Object.entries(this.plan.graph.outputs);
    const rest = taps.filter((value) => !outputs.some(([, output]) => output === value));
    return placeReadings([...outputs, ...rest.map((value) => [value.name, value] as const)]);
  }

  #fill(encoder: GPUCommandEncoder, feeds: Readonly<Record<string, Feed>>): void {
    const { inputs, name: model } = this.plan.graph;
    for (const name of Object.keys(feeds))
      if (!inputs[name]) fail("bad-input", `${model} has no input "${name}"; it has ${Object.keys(inputs).join(", ")}`);
    for (const [name, value] of Object.entries(inputs)) {
      const feed = feeds[name];
      const range = this.#buffers.range(value, 0);
      if (feed === undefined) fail("bad-input", `${model} needs the input "${name}" ${shapeText(value.spec)}`);
      if (typeof feed === "function") feed(encoder, range);
      else {
        if (!(feed instanceof Float32Array))
          fail("bad-input", `the input "${name}" of ${model} is a Float32Array or a function that writes it`);
        if (feed.length !== elements(value.spec))
          fail(
            "bad-input",
            `the input "${name}" of ${model} is ${shapeText(value.spec)}, ${elements(value.spec)} numbers; got ${feed.length}`,
          );
        this.gpu.device.queue.writeBuffer(range.buffer, range.offset, padChannels(feed, value.spec));
      }
    }
  }
}
