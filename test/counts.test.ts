// Multiply-accumulates, parameters and states of the real models, against section 9 of the specification.
import { describe, expect, it } from "vitest";
import { countMacs, countParameters, type Graph } from "../src/core/graph.ts";
import { elements } from "../src/core/tensor.ts";
import { buildModel } from "../src/models/index.ts";
import { describeModel, stamShape } from "./describe_model.ts";

/** MACs of the nodes whose names match. */
function macsOf({ nodes }: Graph, name: RegExp): number {
  const specs = (values: Graph["inputs"]) => Object.fromEntries(Object.entries(values).map(([k, v]) => [k, v.spec]));
  const counted = nodes.filter((node) => name.test(node.name));
  expect(counted.length).toBeGreaterThan(0);
  return counted.reduce((sum, n) => sum + (n.op.macs?.(specs(n.inputs), specs(n.outputs), n.attrs) ?? 0), 0);
}

const giga = (macs: number, digits = 3) => (macs / 1e9).toFixed(digits);

/** Bottleneck ResNet written out once more: stem, blocks with the stride on the 3x3, head; a frame at 224. */
function resnetMacs(blocks: readonly number[], classes: number): number {
  let sum = 112 * 112 * 64 * 3 * 49;
  let input = 64;
  for (const [layer, count] of blocks.entries()) {
    const [planes, side] = [64 * 2 ** layer, 56 / 2 ** layer];
    for (let b = 0; b < count; b++) {
      const before = b === 0 && layer > 0 ? side * 2 : side;
      sum += before ** 2 * input * planes + side ** 2 * (planes ** 2 * 9 + planes * planes * 4);
      if (b === 0) sum += side ** 2 * input * planes * 4;
      input = planes * 4;
    }
  }
  return sum + input * classes;
}

describe("multiply-accumulates", () => {
  it("tsm-resnet50, 8x224", () => {
    const graph = buildModel(describeModel("tsm-resnet50"));
    expect(countMacs(graph)).toBe(32_703_643_648);
    expect(countMacs(graph)).toBe(8 * resnetMacs([3, 4, 6, 3], 400));
    const layers = ["stem", "layer1", "layer2", "layer3", "layer4"].map((n) =>
      giga(macsOf(graph, new RegExp(`^${n}`)) / 8),
    );
    expect(layers).toEqual(["0.118", "0.668", "1.028", "1.464", "0.809"]);
  });

  it("tsm-resnet50 at 16 frames and at 256", () => {
    const at = (frames: number, side: number) =>
      countMacs(buildModel(describeModel("tsm-resnet50", { frames, height: side, width: side })));
    expect(giga(at(16, 224))).toBe("65.407");
    expect(giga(at(8, 256) / 8)).toBe("5.339");
    expect(giga(at(8, 256), 2)).toBe("42.71");
    expect(giga(at(16, 256), 2)).toBe("85.43");
  });

  it("tsm-resnet101", () => {
    const macs = countMacs(buildModel(describeModel("tsm-resnet101")));
    expect(macs).toBe(8 * resnetMacs([3, 4, 23, 3], 400));
    expect(giga(macs)).toBe("62.401");
  });

  it("tsm-resnet50-nl", () => {
    const graph = buildModel(describeModel("tsm-resnet50-nl"));
    expect(giga(countMacs(graph))).toBe("61.104");
    const blocks = ["layer2.0", "layer2.2", "layer3.0", "layer3.2", "layer3.4"];
    const each = blocks.map((name) => giga(macsOf(graph, new RegExp(`^${name}\\.nl`))));
    expect(each).toEqual(["8.324", "8.324", "3.918", "3.918", "3.918"]);
    expect(countMacs(graph) - macsOf(graph, /\.nl/)).toBe(32_703_643_648);
  });

  it("tsm-mobilenetv2, 8x224 and at 256", () => {
    expect(countMacs(buildModel(describeModel("tsm-mobilenetv2")))).toBe(2_400_050_176);
    expect(giga(countMacs(buildModel(describeModel("tsm-mobilenetv2", { height: 256, width: 256 }))))).toBe("3.134");
  });

  it("mobilenetv2, a frame", () => {
    const graph = buildModel(describeModel("mobilenetv2", { frames: 1 }));
    expect(giga(countMacs(graph), 4)).toBe("0.3000");
    const millions = [/^stem/, /depthwise/, /expand|project|^last/].map((name) =>
      (macsOf(graph, name) / 1e6).toFixed(1),
    );
    expect(millions).toEqual(["10.8", "20.7", "267.9"]);
    const online = buildModel(describeModel("tsm-mobilenetv2-online", { frames: 1, classes: 27 }));
    expect(giga(countMacs(online), 4)).toBe("0.2995");
  });
});

/** A transformer written out once more: patches, then four linear layers and two products of attention a block; tokens of a frame. */
function spatialMacs(tokens: number, width: number, depth: number): number {
  const linears = tokens * width * width * (3 + 1 + 4 + 4);
  return (tokens - 1) * width * 3 * 256 + depth * (linears + 2 * tokens * tokens * width);
}

describe("multiply-accumulates of transformers", () => {
  const stam = (frames: number, everyToken: boolean) => buildModel(describeModel("stam", { frames, everyToken }));

  it.each([
    [8, "140.80"],
    [16, "281.57"],
    [32, "563.12"],
    [64, "1126.22"],
  ])("stam, %i frames, every token: %s G", (frames, expected) => {
    expect(giga(countMacs(stam(frames, true)), 2)).toBe(expected);
  });

  it("stam-16, part by part", () => {
    const graph = stam(16, true);
    const spatial = macsOf(graph, /^(patch_embed|blocks)/);
    expect(spatial).toBe(16 * spatialMacs(197, 768, 12));
    expect(giga(spatial / 16)).toBe("17.563");
    expect(giga(macsOf(graph, /^patch_embed/) / 16)).toBe("0.116");
    expect(giga(macsOf(graph, /^blocks.*\.(qkv|proj|fc1|fc2)$/) / 16)).toBe("16.732");
    expect(giga(macsOf(graph, /^blocks.*\.attn$/) / 16)).toBe("0.715");
    const temporal = 6 * (17 * (4 * 768 * 768 + 2 * 768 * 2048) + 2 * 17 * 17 * 768);
    expect(macsOf(graph, /^(aggregate|head)/)).toBe(temporal + 768 * 400);
    expect(giga(temporal + 768 * 400, 2)).toBe("0.56");
    expect(countMacs(graph)).toBe(281_573_446_656);
  });

  it("stam-16 with the class token alone behind its last layers", () => {
    const macs = countMacs(stam(16, false));
    expect(macs).toBe(262_058_013_696);
    // Queries, projection, MLP and its row of both products: of 196 tokens in 16 frames, and of 16 in the last layer in time.
    const rest = (tokens: number, hidden: number) =>
      (tokens - 1) * (2 * 768 * 768 + 2 * 768 * hidden + 2 * tokens * 768);
    expect(countMacs(stam(16, true)) - macs).toBe(16 * rest(197, 3072) + rest(17, 2048));
    // The specification counts the linear layers of that.
    expect(giga(rest(197, 3072) - 196 * 2 * 197 * 768, 2)).toBe("1.16");
    const stream = buildModel(describeModel("stam", { frames: 1, transformer: stamShape(16) }));
    expect(giga(countMacs(stream), 2)).toBe("16.84");
  });

  it("vit and deit", () => {
    const macs = (width: number, heads: number, everyToken: boolean) => {
      const transformer = { ...describeModel("vit").transformer!, width, heads, hidden: 4 * width };
      return countMacs(buildModel(describeModel("vit", { frames: 1, classes: 1000, transformer, everyToken })));
    };
    expect(macs(768, 12, true)).toBe(spatialMacs(197, 768, 12) + 768 * 1000);
    expect(macs(192, 3, true)).toBe(spatialMacs(197, 192, 12) + 192 * 1000);
    expect(giga(macs(192, 3, true))).toBe("1.254");
    expect(giga(macs(192, 3, false))).toBe("1.167");
  });
});

describe("parameters of transformers", () => {
  it.each([
    [8, 119_199_376],
    [16, 119_205_520],
    [32, 119_217_808],
    [64, 119_242_384],
  ])("stam, %i frames: %i", (frames, parameters) => {
    expect(countParameters(buildModel(describeModel("stam", { frames })))).toBe(parameters);
    expect(countParameters(buildModel(describeModel("stam", { frames: 1, transformer: stamShape(frames) })))).toBe(
      parameters,
    );
  });

  it("vit-b/16 of 1000 classes", () => {
    expect(countParameters(buildModel(describeModel("vit", { classes: 1000 })))).toBe(86_567_656);
  });
});

describe("parameters", () => {
  it.each([
    ["tsm-resnet50", 400, 24_327_632],
    ["tsm-resnet50", 174, 23_864_558],
    ["tsm-resnet101", 400, 43_319_760],
    ["tsm-resnet101", 174, 42_856_686],
    ["tsm-resnet50-nl", 400, 31_686_096],
    ["tsm-mobilenetv2", 400, 2_736_272],
    ["tsm-mobilenetv2-online", 27, 2_258_459],
    ["mobilenetv2", 1000, 3_504_872],
  ] as const)("%s, %d classes: %d", (model, classes, parameters) => {
    const graph = buildModel(describeModel(model, { classes, frames: 1, height: 64, width: 64 }));
    expect(countParameters(graph)).toBe(parameters);
  });
});

describe("states", () => {
  it("of the online model are an eighth of ten blocks' inputs", () => {
    const graph = buildModel(describeModel("tsm-mobilenetv2-online", { frames: 1, classes: 27 }));
    const states = graph.values.filter(({ kind }) => kind === "state");
    expect(states.map(({ spec }) => spec.shape.join("x"))).toEqual([
      "1x56x56x3",
      ...Array(2).fill("1x28x28x4"),
      ...Array(3).fill("1x14x14x8"),
      ...Array(2).fill("1x14x14x12"),
      ...Array(2).fill("1x7x7x20"),
    ]);
    expect(states.reduce((sum, { spec }) => sum + elements(spec), 0)).toBe(27_048);
  });

  it("offline there are none", () => {
    for (const model of ["tsm-mobilenetv2", "tsm-resnet50"] as const) {
      expect(buildModel(describeModel(model)).values.some(({ kind }) => kind === "state")).toBe(false);
    }
  });
});
