/** What went wrong, as a closed set a program can switch on. */
export type ErrorCode =
  | "usage" // a wrong command line or option
  | "bad-input" // a tensor, frame or value the call cannot use
  | "bad-file" // a malformed file of weights or codes
  | "truncated" // a file that ends before its own header says it does
  | "unsupported" // a file that is well formed and uses what Kinema refuses or lacks
  | "unsupported-pickle" // a pickle that names a global outside the closed list
  | "weights-mismatch" // tensors missing, unused, of a wrong shape or dtype
  | "not-finite" // NaN or infinity where numbers are needed
  | "bad-video" // no video track, no frame, undecodable
  | "graph" // a graph that cannot be built: shapes that do not fit
  | "no-webgpu" // WebGPU itself is absent
  | "no-adapter" // WebGPU is there and offers no adapter
  | "limit-exceeded" // the plan needs more than the adapter offers
  | "out-of-memory"
  | "device-lost"
  | "not-converged" // a check that compared and disagreed
  | "closed"; // used after dispose()

/** Every error Kinema throws on purpose. `details` is for programs, `message` says what, where, and what to do. */
export class KinemaError extends Error {
  override readonly name = "KinemaError";
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
}

/** Throws a {@link KinemaError}. Wording: what was asked, what is there, what to do; one line. */
export function fail(code: ErrorCode, message: string, details?: Record<string, unknown>, cause?: unknown): never {
  throw new KinemaError(code, message, details, cause);
}
