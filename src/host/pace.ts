// While a promise of Dawn's is open, the npm package `webgpu` asks for news in every turn of Node's event loop, which takes a whole core
// (its AsyncRunner calls setImmediate). A software adapter computes with the same cores: of two, one would be lost.

/** Longest pause between two turns, in ms, and the share of the time waited so far that a pause may last. */
const LONGEST = 1;
const SHARE = 1 / 8;
/** Below this a pause costs more than it saves, in ms. */
const SHORTEST = 0.05;

const never = new Int32Array(new SharedArrayBuffer(4));
let open = 0;
let since = 0;
let turning = false;

function turn(): void {
  turning = open > 0;
  if (!turning) return;
  const pause = Math.min(LONGEST, (performance.now() - since) * SHARE);
  if (pause >= SHORTEST) Atomics.wait(never, 0, 0, pause);
  setImmediate(turn);
}

function wait(): void {
  if (open++ === 0) since = performance.now();
  if (!turning) {
    turning = true;
    setImmediate(turn);
  }
}

function paced<Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) {
  return function (this: unknown, ...args: Args): Promise<Result> {
    const result = call.apply(this, args);
    const done = (): void => {
      open--;
    };
    wait();
    result.then(done, done);
    return result;
  };
}

let once = false;

/**
 * From now on this thread sleeps between two turns of the event loop while it waits for work on any WebGPU device: an eighth of the time
 * waited so far, 1 ms at most, which is what other callbacks may come late by. WebGPU's globals must be defined.
 */
export function paceWaiting(): void {
  if (once) return;
  once = true;
  GPUBuffer.prototype.mapAsync = paced(GPUBuffer.prototype.mapAsync);
  GPUQueue.prototype.onSubmittedWorkDone = paced(GPUQueue.prototype.onSubmittedWorkDone);
  GPUDevice.prototype.createComputePipelineAsync = paced(GPUDevice.prototype.createComputePipelineAsync);
}
