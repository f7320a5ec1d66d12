interface Waiters {
  readonly rejects: Set<(reason: unknown) => void>;
  gone: boolean;
}

/** Those who wait for something of a device, by its `lost`. */
const waiters = new WeakMap<Promise<never>, Waiters>();

/**
 * What `work` gives, or the rejection of `lost`, whichever comes first. Promise.race would leave with `lost`, which lives as long as the
 * device, a reaction for each call: half a kilobyte a frame that is never freed.
 */
export function unlessLost<T>(lost: Promise<never>, work: Promise<T>): Promise<T> {
  const { rejects, gone } = waiters.get(lost) ?? watch(lost);
  return new Promise((resolve, reject) => {
    if (gone) lost.catch(reject);
    else rejects.add(reject);
    work.then(resolve, reject).finally(() => rejects.delete(reject));
  });
}

function watch(lost: Promise<never>): Waiters {
  const those: Waiters = { rejects: new Set(), gone: false };
  waiters.set(lost, those);
  lost.catch((reason) => {
    those.gone = true;
    for (const reject of those.rejects) reject(reason);
  });
  return those;
}
