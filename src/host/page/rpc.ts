import { pack, unpack } from "./wire.ts";

/** What a function that Node calls is given beside its arguments. */
export interface CallContext {
  /** Aborted when Node's caller aborts. */
  readonly signal: AbortSignal;
  /** Reports how far the work is: plain data, sent to `onProgress` in Node. */
  progress(value: unknown): void;
}

/** A function of the page that Node calls by name: plain data and typed arrays in and out. */
// biome-ignore lint/suspicious/noExplicitAny: arguments are typed by each function and by its caller in Node
export type PageFunction = (args: any, context: CallContext) => unknown;

/** One call as Node sends it. */
export interface CallMessage {
  readonly id: number;
  readonly name: string;
  readonly json: string;
  /** Where the typed arrays of the arguments are; null if there are none. */
  readonly inputs: string | null;
  /** Where to post the typed arrays of the result. */
  readonly outputs: string;
}

/** The answer: a result, or an error as plain data. `posted` says whether a body went to `outputs`. */
export type Answer = { json: string; posted: boolean } | { error: RemoteError };

export interface RemoteError {
  readonly name: string;
  readonly message: string;
  readonly code: string | null;
  readonly details: unknown;
  readonly stack: string;
}

/** The two functions that Node finds in the page. */
export interface PageEnd {
  call(message: CallMessage): Promise<Answer>;
  abort(id: number): void;
}

declare global {
  var kinemaPage: PageEnd | undefined;
  var kinemaProgress: ((id: number, json: string) => void) | undefined;
}

/** Makes `functions` callable from Node by name. Called by the page's own script with the bundle's exports. */
export function serve(functions: Readonly<Record<string, unknown>>): void {
  const running = new Map<number, AbortController>();
  const call = async (message: CallMessage): Promise<Answer> => {
    const controller = new AbortController();
    running.set(message.id, controller);
    try {
      const chosen = Object.hasOwn(functions, message.name) ? functions[message.name] : undefined;
      if (typeof chosen !== "function") throw new TypeError(`the page's bundle has no function ${message.name}`);
      const body = message.inputs ? await (await fetch(message.inputs)).arrayBuffer() : new ArrayBuffer(0);
      const progress = (value: unknown) => globalThis.kinemaProgress?.(message.id, pack(value).json);
      const context: CallContext = { signal: controller.signal, progress };
      const { json, parts } = pack(await (chosen as PageFunction)(unpack(message.json, body), context));
      const posted = parts.length > 0;
      if (posted) await fetch(message.outputs, { method: "POST", body: new Blob(parts) });
      return { json, posted };
    } catch (error) {
      return { error: plain(error) };
    } finally {
      running.delete(message.id);
    }
  };
  globalThis.kinemaPage = { call, abort: (id) => running.get(id)?.abort() };
}

function plain(error: unknown): RemoteError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error), code: null, details: {}, stack: "" };
  const { code, details } = error as { code?: unknown; details?: unknown };
  const data = { name: error.name, message: error.message, stack: error.stack ?? "" };
  return { ...data, code: typeof code === "string" ? code : null, details: cloneable(details) };
}

function cloneable(details: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(details ?? {}));
  } catch {
    return {};
  }
}
