/** What {@link joined} makes. */
interface Numbers {
  set(numbers: ArrayLike<number>, offset: number): void;
}

/** The numbers of all parts, one after the other, in an array of the given type. */
export function joined<All extends Numbers>(
  type: { new (length: number): All },
  parts: readonly ArrayLike<number>[],
): All {
  const all = new type(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
