import { JESTER } from "./jester.ts";
import { KINETICS_400 } from "./kinetics400.ts";
import { SOMETHING_SOMETHING_V2 } from "./something_something_v2.ts";

export { GestureFilter } from "./gesture.ts";
export { JESTER } from "./jester.ts";
export { JESTER_DATASET } from "./jester_dataset.ts";
export { KINETICS_400 } from "./kinetics400.ts";
export { SOMETHING_SOMETHING_V2 } from "./something_something_v2.ts";
export { type Span, SpanTracker } from "./spans.ts";

/** The labels that released TSM checkpoints with so many classes were trained on, in TSM's order; null for another number. */
export function labelsForClasses(classes: number | null): readonly string[] | null {
  return [KINETICS_400, SOMETHING_SOMETHING_V2, JESTER].find((labels) => labels.length === classes) ?? null;
}
