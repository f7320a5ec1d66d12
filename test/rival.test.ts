// Kinema beside its rivals: the turns, the refusals and the limits, without any rival; and with those that are installed.
import { describe, expect, it } from "vitest";
import { foldedUnit, inputOf, CASE_NAMES as RIVAL_CASE_NAMES, RIVAL_CASES, unitNames } from "../bench/rival/cases.ts";
import { compareOutputs, type Engine, median, sideBySide } from "../bench/rival/compare.ts";
import { choosePairs, RIVALS } from "../bench/rival/engines.ts";
import { benchBeside, missing } from "../bench/rival/headless.ts";
import { type Ops, runNet } from "../bench/rival/nets.ts";
import { wantedTensors } from "../src/core/graph.ts";
import { elements, storedBytes } from "../src/core/tensor.ts";
import { rivalsHere } from "../tools/rivals.mjs";
import { syntheticTensor } from "./synthetic.ts";

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** An engine that notes its runs in `order` and takes its time. */
function engine(name: string, order: string[], takes: number, answer: (run: number) => number = () => 1): Engine {
  let run = 0;
  return {
    version: "1",
    prepareMs: 7,
    async run() {
      order.push(name);
      await sleep(takes);
      return Float32Array.of(answer(run++), 2);
    },
    close: () => void order.push(`-${name}`),
  };
}

describe("two engines in turns", () => {
  it("run once a round, the order turning, and give paired ratios", async () => {
    const order: string[] = [];
    const open = { ours: async () => engine("a", order, 5), rival: async () => engine("b", order, 60) };
    const made = await sideBySide(open, { rounds: 3, budget: 60 });
    expect(order.join(" ")).toBe("a b b a a b b a -a -b");
    if (typeof made === "string") return expect.fail(made);
    expect([made.ours.all.length, made.rival.all.length, made.rounds]).toEqual([3, 3, 3]);
    expect(made.ratio).toBe(median(made.rival.all.map((ms, i) => ms / made.ours.all[i]!)));
    expect(made.ratio).toBeGreaterThan(1.5);
    expect(made.rival.ms).toBe(median(made.rival.all));
    expect(made).toMatchObject({ maxDifference: 0, maxOutput: 2, ours: { prepareMs: 7 } });
  });

  it("stop early where the next round has no time left, and say how many there were", async () => {
    const order: string[] = [];
    const open = { ours: async () => engine("a", order, 1), rival: async () => engine("b", order, 300) };
    const made = await sideBySide(open, { rounds: 50, budget: 2 });
    if (typeof made === "string") return expect.fail(made);
    expect(made.rounds).toBe(50);
    expect(made.ours.all.length).toBeGreaterThanOrEqual(1);
    expect(made.ours.all.length).toBeLessThan(7);
  });

  it("keep the whole rounds when one outlasts the budget", async () => {
    let run = 0;
    const slower: Engine = {
      ...engine("b", [], 0),
      run: () => sleep(run++ < 3 ? 1 : 60_000).then(() => Float32Array.of(1, 2)),
    };
    const open = { ours: async () => engine("a", [], 1), rival: async () => slower };
    const made = await sideBySide(open, { rounds: 9, budget: 1.5 });
    expect(made).toMatchObject({ rounds: 9, rival: { all: [expect.any(Number), expect.any(Number)] } });
  });

  it.each(["opening", "running"])("leave behind what hangs while %s", async (when) => {
    const never = () => new Promise<never>(() => {});
    const hanging: Engine = { ...engine("b", [], 0), run: never };
    const open = {
      ours: async () => engine("a", [], 0),
      rival: when === "opening" ? never : async () => hanging,
    };
    const made = await sideBySide(open, { rounds: 1, budget: 0.2 });
    expect(made).toBe("not done within 0.2 s (the rival makes ready); --budget gives more");
  });

  it("give one line about a rival that fails, and close what is open", async () => {
    const order: string[] = [];
    const open = {
      ours: async () => engine("a", order, 0),
      rival: async () => {
        throw new Error("no kernel for Gelu\n  at there");
      },
    };
    expect(await sideBySide(open, { rounds: 1, budget: 10 })).toBe("the rival: no kernel for Gelu");
    expect(order).toEqual(["a", "-a"]);
  });

  it("time nothing that is wrong, at first or later", async () => {
    const against = (answer: (run: number) => number) => ({
      ours: async () => engine("a", [], 0),
      rival: async () => engine("b", [], 0, answer),
    });
    const limits = { rounds: 2, budget: 10 };
    expect(
      await sideBySide(
        against(() => 1.1),
        limits,
      ),
    ).toMatch(/^the answers differ: element 0 is 1\.1/);
    expect(
      await sideBySide(
        against((run) => (run === 2 ? 5 : 1)),
        limits,
      ),
    ).toMatch(/^the answers differ after 2 rounds/);
  });

  it("agree to 1e-3 of the largest output, and never on NaN", () => {
    const ours = Float32Array.of(0, 10);
    expect(compareOutputs(ours, Float32Array.of(0.0078125, 10))).toEqual({ maxDifference: 0.0078125, maxOutput: 10 });
    expect(compareOutputs(ours, Float32Array.of(0.015625, 10))).toBe("element 0 is 0.015625, Kinema has 0");
    expect(compareOutputs(ours, Float32Array.of(0, Number.NaN))).toBe("element 1 is NaN, Kinema has 10");
    expect(compareOutputs(ours, Float32Array.of(0))).toBe("1 numbers in place of 2");
  });

  it("take the median of odd and even counts", () => {
    expect(median([3, 1, 10])).toBe(3);
    expect(median([4, 1, 2, 30])).toBe(3);
  });
});

describe("cases and rivals", () => {
  it("pair every case with every rival that can run it", () => {
    const pairs = choosePairs([], []);
    expect(pairs.length).toBe(Object.values(RIVALS).reduce((sum, { cases }) => sum + cases.length, 0));
    expect(choosePairs(["stam"], [])).toEqual([
      { name: "stam", rival: "ort-webgpu" },
      { name: "stam", rival: "ort-wasm" },
    ]);
    expect(choosePairs(["conv3x3"], ["jax"])).toEqual([{ name: "conv3x3", rival: "jax" }]);
    expect(() => choosePairs(["conv"], [])).toThrow(/no case for rivals is called conv; there are matmul-512/);
    expect(() => choosePairs([], ["tensorflow"])).toThrow(/no rival is called tensorflow; there are ort-webgpu, tfjs/);
    expect(() => choosePairs(["stam"], ["jax"])).toThrow("jax cannot run stam");
  });

  it("say what is missing, and how to get it", () => {
    const pair = { name: "stam", rival: "ort-webgpu" } as const;
    expect(missing(pair, [], () => true)).toMatch(/^not installed: cd bench\/rival && npm ci/);
    expect(missing(pair, ["ort-webgpu"], () => false)).toMatch(
      /models\/stam\.onnx is not there: .*export_onnx\.py stam$/,
    );
    expect(missing(pair, ["ort-webgpu"], (name) => name === "stam")).toBeNull();
    expect(missing({ name: "conv3x3", rival: "tfjs" }, ["tfjs"], () => false)).toBeNull();
  });

  it.each(RIVAL_CASE_NAMES)("%s has a graph of its input and output", (name) => {
    const { shape, output, graph } = RIVAL_CASES[name];
    const made = graph();
    const [input, result] = [Object.values(made.inputs)[0]!, Object.values(made.outputs)[0]!];
    expect(elements(input.spec)).toBe(shape.reduce((a, b) => a * b, 1));
    expect(elements(result.spec)).toBe(output.reduce((a, b) => a * b, 1));
    expect(storedBytes(result.spec)).toBeGreaterThan(0);
    if (name !== "stam") expect(inputOf(name).length).toBe(elements(input.spec));
  });

  it.each(["mobilenetv2", "tsm-mobilenetv2", "tsm-resnet50"] as const)(
    "%s in an engine's own ops uses every unit once, and the shifts of the graph",
    (name) => {
      const tensors = wantedTensors(RIVAL_CASES[name].graph());
      const used: string[] = [];
      let shifts = 0;
      // A tensor is its number of channels, which each unit's weights must fit.
      const unit = (x: number, key: string): number => {
        used.push(key);
        const [out, each] = tensors.get(`${key}.weight`)!;
        expect(each === 1 ? out : each, key).toBe(x);
        return out!;
      };
      const ops: Ops<number> = {
        conv: unit,
        depthwise: unit,
        linear: unit,
        shift: (x) => {
          shifts++;
          return x;
        },
        sum: (x, y) => {
          expect(x).toBe(y);
          return x;
        },
        ...{ relu: (x) => x, maxPool: (x) => x, pool: (x) => x, consensus: (x) => x, again: (x) => x },
      };
      expect(runNet(ops, name, 3)).toBe(name === "mobilenetv2" ? 1000 : 400);
      expect(used.sort()).toEqual(unitNames(tensors).sort());
      expect(shifts).toBe({ mobilenetv2: 0, "tsm-mobilenetv2": 10, "tsm-resnet50": 16 }[name]);
    },
  );

  it("fold batch norm as Kinema does", () => {
    const graph = RIVAL_CASES.mobilenetv2.graph();
    const packed = (name: string) =>
      graph.values
        .find((value) => value.name === name)!
        .source!.pack((key) => syntheticTensor(key, wantedTensors(graph).get(key)!));
    const { weight, bias } = foldedUnit(wantedTensors(graph), "blocks.1.depthwise");
    const [filters, shift] = [packed("blocks.1.depthwise.weight"), packed("blocks.1.depthwise.bias")];
    expect(shift.length).toBe(32);
    for (let c = 0; c < 32; c++) {
      expect(shift[c]).toBeCloseTo(bias[c]!, 6);
      for (let t = 0; t < 9; t++) expect(filters[t * 32 + c]).toBeCloseTo(weight[c * 9 + t]!, 6);
    }
  });
});

const installed = rivalsHere(process.cwd());

it.skipIf(installed.length === 0)("runs the rivals that are installed", { timeout: 400_000 }, async () => {
  const options = { cases: ["depthwise"], rivals: installed, rounds: 1, budget: 90, commit: "abc" };
  const { rivals, kernels } = await benchBeside(options, () => {});
  expect(kernels).toEqual([]);
  expect(rivals.map(({ rival }) => rival).sort()).toEqual([...installed].sort());
  for (const { rival, refused, version, timing } of rivals) {
    if (refused?.includes("is not there")) continue; // its ONNX file was not exported here
    expect(refused, rival).toBeNull();
    expect(version, rival).toMatch(/^\d/);
    expect(timing!.ratio, rival).toBeGreaterThan(0);
  }
});
