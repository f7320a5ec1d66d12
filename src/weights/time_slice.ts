/** Keeps a long parse from blocking the main thread. */

const SLICE_MS = 25;

/** Returns a function to await between steps: it lets the event loop run when the slice is used up. */
export function timeSlice(): () => Promise<void> | undefined {
  let started = performance.now();
  return () => {
    if (performance.now() - started < SLICE_MS) return undefined;
    return new Promise((resolve) =>
      setTimeout(() => {
        started = performance.now();
        resolve();
      }, 0),
    );
  };
}
