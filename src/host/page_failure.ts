import { type ErrorCode, KinemaError } from "../core/fail.ts";
import type { RemoteError } from "./page/rpc.ts";

/** Rebuilds an error that a function in the page threw: a KinemaError with its code, or one line for anything else. */
export function remoteFailure(error: RemoteError): Error {
  const cause = new Error(error.stack || error.message); // the page's own stack, shown with KINEMA_DEBUG
  if (error.name === "KinemaError" && error.code !== null) {
    const details = (error.details ?? {}) as Record<string, unknown>;
    return new KinemaError(error.code as ErrorCode, oneLine(error.message), details, cause);
  }
  return new Error(`${error.name} in the page: ${oneLine(error.message)}`, { cause });
}

/** Any error as one with a one-line message; a KinemaError is kept as it is. */
export function failure(error: unknown, what: string): Error {
  if (error instanceof KinemaError) return error;
  const message = oneLine(error instanceof Error ? error.message : String(error));
  return new Error(what ? `${what}: ${message}` : message, { cause: error });
}

function oneLine(text: string): string {
  return text.split("\n")[0]!.trim();
}
