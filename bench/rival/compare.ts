// Two engines in turns: equal answers first, then times in pairs. Knows neither of them.

/** An engine that has a case loaded. */
export interface Engine {
  readonly version: string;
  /** Milliseconds to make it ready, weights in memory: fetching them is the network's time. */
  readonly prepareMs: number;
  /** Input to the engine, the case once, output in the page's memory. */
  run(): Promise<Float32Array>;
  /** The output in Kinema's order, for the comparison; not timed. Default: as it is. */
  arrange?(output: Float32Array): Float32Array;
  close(): void | Promise<void>;
}

export interface Limits {
  /** Timed rounds, behind the cold one in which the answers are compared. */
  readonly rounds: number;
  /** Seconds for everything: both engines' making ready, the cold run and the rounds. */
  readonly budget: number;
}

/** One engine's milliseconds. */
export interface Side {
  readonly prepareMs: number;
  /** The first run, with whatever is compiled lazily. */
  readonly coldMs: number;
  /** Median of the timed rounds. */
  readonly ms: number;
  readonly all: readonly number[];
}

export interface RivalTiming {
  readonly ours: Side;
  readonly rival: Side;
  /** Median over the rounds of rival / ours: 3 means that ours takes a third of the time. */
  readonly ratio: number;
  /** Rounds that were asked for; `all` is shorter where the budget ended them. */
  readonly rounds: number;
  /** Largest absolute difference of the two outputs, and the largest output, for scale. */
  readonly maxDifference: number;
  readonly maxOutput: number;
}

/** The median of a non-empty list; of an even count, the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/**
 * 1e-3 of outputs of order 1 is what any two f32 engines agree to; a wrong answer is not timed.
 * Returns a line about outputs that differ by more, or the difference.
 */
export function compareOutputs(
  ours: Float32Array,
  rival: Float32Array,
): string | { maxDifference: number; maxOutput: number } {
  if (ours.length !== rival.length) return `${rival.length} numbers in place of ${ours.length}`;
  let [maxDifference, maxOutput, worst] = [0, 0, 0];
  for (const [i, value] of rival.entries()) {
    const difference = Math.abs(value - ours[i]!);
    // A NaN on either side is the worst there is.
    if (!(difference <= maxDifference)) [maxDifference, worst] = [difference, i];
    if (Number.isNaN(difference)) break;
    maxOutput = Math.max(maxOutput, Math.abs(value));
  }
  if (maxDifference <= 1e-3 * Math.max(1, maxOutput)) return { maxDifference, maxOutput };
  return `element ${worst} is ${rival[worst]}, Kinema has ${ours[worst]}`;
}

/**
 * Opens both, runs each once cold and compares, then runs rounds in which each runs once, the order turning, so that a machine that
 * slows down does so for both. The first round is always tried, another only where the last one's time is left in the budget.
 * Returns the times, or a line that says why there are none. Whatever hangs is left behind when the budget ends.
 */
export async function sideBySide(
  open: { ours(): Promise<Engine>; rival(): Promise<Engine> },
  { rounds, budget }: Limits,
  progress: (line: string) => void = () => {},
): Promise<RivalTiming | string> {
  const start = performance.now();
  const left = () => 1000 * budget - (performance.now() - start);
  const opened: Engine[] = [];
  const made = async (maker: () => Promise<Engine>): Promise<Engine> => {
    const engine = await within(maker(), left());
    opened.push(engine);
    return engine;
  };
  let [stage, underWay] = ["Kinema", ""];
  const say = (line: string) => {
    underWay = line;
    progress(line);
  };
  try {
    say("Kinema makes ready");
    const ours = await made(open.ours);
    const cold = await timed(ours, left());
    stage = "the rival";
    say("the rival makes ready");
    const rival = await made(open.rival);
    const rivalCold = await timed(rival, left());
    const compared = (pair: Pair) =>
      compareOutputs(pair.ours.output, rival.arrange?.(pair.rival.output) ?? pair.rival.output);
    const first = compared({ ours: cold, rival: rivalCold });
    if (typeof first === "string") return `the answers differ: ${first}`;
    const { all, last } = await inTurns({ ours, rival }, rounds, left, say);
    // The last answers too: an engine may be right once.
    const again = compared(last);
    if (typeof again === "string") return `the answers differ after ${all.length} rounds: ${again}`;
    const side = (engine: Engine, coldMs: number, ms: readonly number[]): Side => ({
      ...{ prepareMs: engine.prepareMs, coldMs, ms: median(ms), all: ms },
    });
    return {
      ours: side(
        ours,
        cold.ms,
        all.map((pair) => pair.ours),
      ),
      rival: side(
        rival,
        rivalCold.ms,
        all.map((pair) => pair.rival),
      ),
      ratio: median(all.map((pair) => pair.rival / pair.ours)),
      rounds,
      ...again,
    };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return error instanceof Late
      ? `not done within ${budget} s (${underWay}); --budget gives more`
      : `${stage}: ${said.split("\n")[0]}`;
  } finally {
    // What hangs may hang here too; nobody waits for it.
    for (const engine of opened) (async () => engine.close())().catch(() => {});
  }
}

interface Run {
  readonly ms: number;
  readonly output: Float32Array;
}

interface Pair {
  readonly ours: Run;
  readonly rival: Run;
}

/** At least one round; what the budget cuts off does not count where another is whole. */
async function inTurns(
  { ours, rival }: { readonly ours: Engine; readonly rival: Engine },
  rounds: number,
  left: () => number,
  say: (line: string) => void,
): Promise<{ all: { ours: number; rival: number }[]; last: Pair }> {
  const all: { ours: number; rival: number }[] = [];
  let last: Pair | null = null;
  for (let round = 0, took = 0; round < rounds && (round === 0 || took < left()); round++) {
    say(`round ${round + 1} of ${rounds}`);
    const begin = performance.now();
    const rivalFirst = round % 2 === 0;
    try {
      const one = await timed(rivalFirst ? rival : ours, left());
      const two = await timed(rivalFirst ? ours : rival, left());
      last = rivalFirst ? { ours: two, rival: one } : { ours: one, rival: two };
    } catch (error) {
      if (error instanceof Late && last) break;
      throw error;
    }
    all.push({ ours: last.ours.ms, rival: last.rival.ms });
    took = performance.now() - begin;
  }
  return { all, last: last! };
}

async function timed(engine: Engine, ms: number): Promise<Run> {
  const begin = performance.now();
  const output = await within(engine.run(), ms);
  return { ms: performance.now() - begin, output };
}

class Late extends Error {}

/** The work's result, or {@link Late} after so many milliseconds. */
function within<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_done, failed) => {
    timer = setTimeout(() => failed(new Late("late")), Math.max(0, ms));
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
