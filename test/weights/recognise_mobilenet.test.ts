import { describe, expect, it } from "vitest";
import { recognise } from "../../src/weights/recognise.ts";
import { fake, mobileNet, countParameters as parameters, resNet } from "./support/synthetic_names.ts";

const MOBILE_SHIFTED = [3, 5, 6, 8, 9, 10, 12, 13, 15, 16].map((i) => `blocks.${i}.expand`);
const R50 = "1.0 1.1 1.2 2.0 2.1 2.2 2.3 3.0 3.1 3.2 3.3 3.4 3.5 4.0 4.1 4.2".split(" ");
const R101 = [
  ...["1.0", "1.2", "2.0", "2.2"],
  ...Array.from({ length: 12 }, (_, i) => `3.${2 * i}`),
  ...["4.0", "4.2"],
];
const units = (blocks: readonly string[]): string[] => blocks.map((block) => `layer${block}.conv1`);

describe("MobileNetV2 files", () => {
  it("official offline, with and without module., either head", () => {
    for (const [prefix, head] of [
      ["module.base_model.", "module.new_fc"],
      ["base_model.", "classifier"],
    ] as const) {
      const shapes = mobileNet("official", prefix, head, 400, true);
      const found = recognise(fake(shapes, "TSM_kinetics_RGB_mobilenetv2_shift8_blockres_avg_segment8_e100_dense.pth"));
      expect(Object.keys(shapes).length).toBe(314);
      expect(found).toMatchObject({
        model: "tsm-mobilenetv2",
        classes: 400,
        segments: 8,
        unknown: [],
        padding: "symmetric",
      });
      expect(found.shifted).toEqual(MOBILE_SHIFTED);
      expect(parameters(shapes, found)).toBe(2_736_272);
      expect(found.tensors.get("blocks.16.expand.weight")).toBe(`${prefix}features.16.conv.0.net.weight`);
      expect(found.tensors.get("blocks.1.project.bn.bias")).toBe(`${prefix}features.1.conv.4.bias`);
      expect(found.tensors.get("blocks.17.project.weight")).toBe(`${prefix}features.17.conv.6.weight`);
    }
  });

  it("online: by file name or by metadata, and shifted though no key says so", () => {
    const shapes = mobileNet("official", "", "classifier", 27, false);
    const found = recognise(fake(shapes, "/tmp/mobilenetv2_jester_online.pth.tar"));
    expect(found).toMatchObject({ model: "tsm-mobilenetv2-online", classes: 27, unknown: [] });
    expect(found.shifted).toEqual(MOBILE_SHIFTED);
    expect(parameters(shapes, found)).toBe(2_258_459);
    expect(recognise(fake(shapes, "w.pth", { arch: "mobilenetv2 online" })).model).toBe("tsm-mobilenetv2-online");
    expect(recognise(fake(shapes, "/jester/online/w.pth"))).toMatchObject({ model: "mobilenetv2", shifted: [] });
    expect(recognise(fake(mobileNet("official", "", "classifier", 27, true), "jester.pth")).model).toBe(
      "tsm-mobilenetv2",
    );
  });

  it("torchvision, separate and folded", () => {
    const shapes = mobileNet("torchvision", "", "classifier.1", 1000, false);
    const found = recognise(fake(shapes, "mobilenet_v2-b0353104.pth"));
    expect(found).toMatchObject({ model: "mobilenetv2", shifted: [], classes: 1000, folded: false, unknown: [] });
    expect(parameters(shapes, found)).toBe(3_504_872);
    expect(found.tensors.get("blocks.1.project.weight")).toBe("features.1.conv.1.weight");
    expect(found.tensors.get("blocks.2.project.bn.weight")).toBe("features.2.conv.3.weight");
    const folded = recognise(
      fake(mobileNet("torchvision-folded", "", null, 0, false), "b.safetensors", { padding: "TensorFlow SAME" }),
    );
    expect(folded).toMatchObject({ model: "mobilenetv2", classes: null, folded: true, padding: "same", unknown: [] });
    expect(folded.tensors.size).toBe(104);
    const shifted = recognise(fake(mobileNet("torchvision", "base_model.", "new_fc", 8, true)));
    expect(shifted).toMatchObject({ model: "tsm-mobilenetv2", shifted: MOBILE_SHIFTED, unknown: [] });
  });

  it("calls parameters of an activation, a block 18 and a third convolution of block 1 unknown", () => {
    const strange = [
      "features.3.conv.2.weight",
      "features.18.conv.0.weight",
      "features.1.conv.6.weight",
      "features.3.conv.8.bias",
    ];
    const shapes = {
      ...mobileNet("official", "", "classifier", 5, false),
      ...Object.fromEntries(strange.map((n) => [n, [1]])),
    };
    expect(recognise(fake(shapes)).unknown).toEqual(strange);
    const nested = {
      ...mobileNet("torchvision", "", "classifier.1", 5, false),
      "features.3.conv.2.0.weight": [1],
      "features.1.conv.3.weight": [1],
    };
    expect(recognise(fake(nested)).unknown).toEqual(["features.3.conv.2.0.weight", "features.1.conv.3.weight"]);
  });

  it("gives every naming the same canonical tensors", () => {
    const names = (["official", "torchvision", "mmaction2"] as const).map((naming) => {
      const shapes = mobileNet(naming, naming === "mmaction2" ? "backbone." : "", "classifier", 5, true);
      const found = recognise(fake(shapes));
      expect(found).toMatchObject({ model: "tsm-mobilenetv2", shifted: MOBILE_SHIFTED, unknown: [] });
      return [...found.tensors].map(([name, raw]) => `${name} ${shapes[raw]}`).sort();
    });
    expect(names[0]!.length).toBe(262);
    expect(names[1]).toEqual(names[0]);
    expect(names[2]).toEqual(names[0]);
  });

  it("mmaction2, its head and its numbering by stage", () => {
    const found = recognise(
      fake(
        mobileNet("mmaction2", "backbone.", "cls_head.fc_cls", 400, true),
        "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb_20230414-401127fd.pth",
      ),
    );
    expect(found).toMatchObject({ model: "tsm-mobilenetv2", classes: 400, segments: 8 });
    expect(found.tensors.get("blocks.3.expand.bn.weight")).toBe("backbone.layer2.1.conv.0.net.bn.weight");
    expect(found.tensors.get("blocks.17.expand.weight")).toBe("backbone.layer7.0.conv.0.conv.weight");
    expect(found.tensors.get("last.bn.bias")).toBe("backbone.conv2.bn.bias");
    expect(found.tensors.get("blocks.1.depthwise.weight")).toBe("backbone.layer1.0.conv.0.conv.weight");
  });

  it("reads Kinema's own names and what its metadata states", () => {
    const official = mobileNet("official", "", "classifier", 9, false);
    const canonical = Object.fromEntries(
      [...recognise(fake(official)).tensors].map(([name, raw]) => [name, official[raw]!]),
    );
    const metadata = { model: "tsm-mobilenetv2-online", segments: "16", shiftDivisor: "4" };
    const found = recognise(fake(canonical, "w.safetensors", metadata));
    expect(found).toMatchObject({
      model: "tsm-mobilenetv2-online",
      segments: 16,
      shiftDivisor: 4,
      shifted: MOBILE_SHIFTED,
      classes: 9,
      unknown: [],
    });
    const other = resNet({ shifted: () => false });
    expect(recognise(fake(other, "w.safetensors", { model: "tsm-resnet50" })).shifted).toEqual(units(R50));
    const deep = resNet({ shifted: () => false, depths: [3, 4, 23, 3] });
    expect(recognise(fake(deep, "w.safetensors", { model: "tsm-resnet101" })).shifted).toEqual(units(R101));
    expect(recognise(fake(other, "w.safetensors", { model: "tsm-mobilenetv2" }))).toMatchObject({
      model: "tsm-resnet50",
      shifted: [],
    });
  });
});
