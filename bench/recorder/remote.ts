// A worker's functions, called as if they were here.
import { type ErrorCode, KinemaError } from "../../src/core/fail.ts";

interface Call {
  readonly id: number;
  readonly name: string;
  readonly args: readonly unknown[];
}

type Answer = { readonly id: number } & (
  | { readonly result: unknown }
  | { readonly error: { readonly message: string; readonly code: ErrorCode | null } }
);

/** The page's end of `T`, the functions that a worker gives to {@link answerCalls}. */
export type Remote<T> = {
  readonly [Name in keyof T]: T[Name] extends (...args: infer Args) => infer Result
    ? (...args: Args) => Promise<Awaited<Result>>
    : never;
};

/** Functions of `worker`. A KinemaError keeps its code. A worker that failed, most likely when it was loaded, fails every call from then on. */
export function remote<T>(worker: Worker): Remote<T> {
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  let [next, failed] = [0, null as Error | null];
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    const caller = waiting.get(data.id);
    waiting.delete(data.id);
    if ("result" in data) return caller?.resolve(data.result);
    const { message, code } = data.error;
    caller?.reject(code ? new KinemaError(code, message) : new Error(message));
  };
  worker.onerror = ({ message }) => {
    failed = new Error(`the store's worker failed: ${message}`);
    for (const { reject } of waiting.values()) reject(failed);
    waiting.clear();
  };
  const call = (name: string, args: readonly unknown[]) =>
    new Promise((resolve, reject) => {
      if (failed) return reject(failed); // nobody would answer
      const message: Call = { id: next++, name, args };
      waiting.set(message.id, { resolve, reject });
      worker.postMessage(message);
    });
  return new Proxy(
    {},
    {
      get:
        (_, name) =>
        (...args: unknown[]) =>
          call(String(name), args),
    },
  ) as Remote<T>;
}

/** The worker's end: answers every call of `functions`. */
export function answerCalls(functions: object): void {
  globalThis.onmessage = async ({ data: { id, name, args } }: MessageEvent<Call>) => {
    try {
      const result = await (functions as Record<string, (...args: unknown[]) => unknown>)[name]!(...args);
      globalThis.postMessage({ id, result });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      globalThis.postMessage({ id, error: { message, code: error instanceof KinemaError ? error.code : null } });
    }
  };
}
