// Every model layer by layer against PyTorch (f64), on Dawn.
import { describe, expect, it } from "vitest";
import type { Graph } from "../src/core/graph.ts";
import { elements, toChannelsLast } from "../src/core/tensor.ts";
import { buildModel, MODEL_NAMES, takesClips } from "../src/models/index.ts";
import { createSession } from "../src/session.ts";
import { describeModel } from "./describe_model.ts";
import { asGolden, compare, readGolden } from "./golden.ts";
import { useGpu } from "./gpu.ts";
import { syntheticTensor } from "./synthetic.ts";
import { syntheticTensors } from "./synthetic_model.ts";

const MODELS = [
  "mobilenetv2",
  "mobilenetv2-same",
  "tsm-mobilenetv2",
  "tsm-mobilenetv2-online",
  "tsm-resnet50",
  "tsm-resnet101",
  "tsm-resnet50-nl",
  "vit",
  "stam",
];

const fixture = useGpu();

describe("models against PyTorch, layer by layer", () => {
  it.each(MODELS)(
    "%s",
    async (file) => {
      const golden = await readGolden(file);
      const graph = buildModel(golden.description);
      using session = await createSession(fixture.gpu, graph, syntheticTensors(graph));
      const input = toChannelsLast(syntheticTensor(golden.inputName, golden.inputShape), golden.inputShape);
      const taps = [...golden.tensors.keys()].filter(
        (name) =>
          name !== golden.inputName &&
          name !== "logits" &&
          graph.values.some((v) => v.name === name && v.kind === "temp"),
      );
      expect(taps.length).toBeGreaterThan(file === "vit" ? 20 : 30);
      const out = await session.run({ [golden.inputName]: input }, { tap: taps });
      const worst: string[] = [];
      for (const name of [...taps, "logits"]) {
        const value = graph.outputs[name] ?? graph.values.find((v) => v.name === name)!;
        // A tap that is an output as well is not read twice.
        const data = out[name] ?? out.logits!;
        const { max, cosine, largest } = compare(asGolden(data, value.spec, golden, name), golden.tensors.get(name)!);
        // f32 against f64: errors grow with depth like sqrt(layers) * eps * |x|; 1e-4 of the largest value is far below a wrong tap.
        if (!(max <= 1e-4 * Math.max(1, largest)) || !(cosine >= 0.999999))
          worst.push(`${name}: off by ${max}, cosine ${cosine}`);
      }
      expect(worst).toEqual([]);
      const logits = compare(out.logits!, golden.tensors.get("logits")!);
      expect(logits.max).toBeLessThanOrEqual(1e-3);
      expect(logits.cosine).toBeGreaterThanOrEqual(0.99999);
    },
    60_000,
  );
});

describe("several clips in a run", () => {
  const small = { frames: 3, height: 32, width: 32, classes: 7 };

  it.each(["tsm-mobilenetv2", "tsm-mobilenetv2-online", "tsm-resnet50"] as const)(
    "give what each gives alone, bit for bit: %s",
    { timeout: 120_000 },
    async (model) => {
      const [one, two] = [1, 2].map((clips) => buildModel(describeModel(model, { ...small, clips }))) as [Graph, Graph];
      const weights = syntheticTensors(one);
      using alone = await createSession(fixture.gpu, one, weights);
      using both = await createSession(fixture.gpu, two, weights);
      const video = Float32Array.from(syntheticTensor("video", [elements(two.inputs.video!.spec)]));
      const half = video.length / 2;
      const first = (await alone.run({ video: video.slice(0, half) })).logits!;
      const second = (await alone.run({ video: video.slice(half) })).logits!;
      expect(second).not.toEqual(first);
      expect((await both.run({ video })).logits).toEqual(Float32Array.of(...first, ...second));
    },
  );

  it("are refused by models that take one", () => {
    const able = MODEL_NAMES.filter((model) => takesClips({ model, frames: 8 }));
    expect(able).toEqual(["tsm-resnet50", "tsm-resnet101", "tsm-mobilenetv2", "tsm-mobilenetv2-online"]);
    for (const model of MODEL_NAMES.filter((name) => !able.includes(name)))
      expect(() => buildModel(describeModel(model, { clips: 2 }))).toThrow(`${model} takes one clip a run, not 2`);
    const stream = describeModel("tsm-mobilenetv2-online", { frames: 1, clips: 2 });
    expect(() => buildModel(stream)).toThrow("takes one clip a run");
  });
});
