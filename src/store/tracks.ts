import { fail } from "../core/fail.ts";
import type { StoreDescription } from "./description.ts";

/** Number of the track called `name`; without a name that of the only codes track. Throws "bad-input". */
export function trackIndex({ tracks }: StoreDescription, name?: string): number {
  const names = tracks.map((track) => track.name);
  if (name !== undefined) {
    const index = names.indexOf(name);
    return index >= 0 ? index : fail("bad-input", `there is no track "${name}"; there are ${names.join(", ")}`);
  }
  const codes = tracks.flatMap((track, index) => (track.kind === "codes" ? [index] : []));
  return codes.length === 1
    ? codes[0]!
    : fail("bad-input", `the store has ${codes.length} tracks of codes; name one of ${names.join(", ")}`);
}
