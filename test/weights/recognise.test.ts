import { describe, expect, it } from "vitest";
import { fileSource } from "../../src/host/file_source.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { recognise } from "../../src/weights/recognise.ts";
import { dataFile, hasData } from "./support/data.ts";
import { fake, countParameters as parameters, resNet } from "./support/synthetic_names.ts";

const R50 = "1.0 1.1 1.2 2.0 2.1 2.2 2.3 3.0 3.1 3.2 3.3 3.4 3.5 4.0 4.1 4.2".split(" ");
const R101 = [
  ...["1.0", "1.2", "2.0", "2.2"],
  ...Array.from({ length: 12 }, (_, i) => `3.${2 * i}`),
  ...["4.0", "4.2"],
];
const units = (blocks: readonly string[]): string[] => blocks.map((block) => `layer${block}.conv1`);

describe("ResNet files", () => {
  it("official TSM-ResNet-50", () => {
    const shapes = resNet();
    const found = recognise(fake(shapes, "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth"));
    expect(Object.keys(shapes).length).toBe(320);
    expect(found).toMatchObject({
      model: "tsm-resnet50",
      classes: 400,
      segments: 8,
      shiftDivisor: 8,
      folded: false,
      unknown: [],
    });
    expect(found.shifted).toEqual(units(R50));
    expect(found.ignored.length).toBe(53);
    expect(parameters(shapes, found)).toBe(24_327_632);
    expect(found.tensors.get("layer3.5.conv1.weight")).toBe("module.base_model.layer3.5.conv1.net.weight");
    expect(found.tensors.get("layer2.0.downsample.bn.running_var")).toBe(
      "module.base_model.layer2.0.downsample.1.running_var",
    );
    expect(found.tensors.get("stem.bn.bias")).toBe("module.base_model.bn1.bias");
    expect(found.tensors.get("head.bias")).toBe("module.new_fc.bias");
  });

  it("official TSM-ResNet-101 shifts every second block", () => {
    const shapes = resNet({ depths: [3, 4, 23, 3], shifted: (block) => block % 2 === 0, classes: 174 });
    const found = recognise(
      fake(shapes, "x/TSM_somethingv2_RGB_resnet101_shift8_blockres_avg_segment16_e45.pth?download=1"),
    );
    expect(found).toMatchObject({ model: "tsm-resnet101", classes: 174, segments: 16, unknown: [] });
    expect(found.shifted).toEqual(units(R101));
    expect(found.shifted.length).toBe(18);
    expect(parameters(shapes, found)).toBe(42_856_686);
  });

  it("official non-local ResNet-50", () => {
    const shapes = resNet({ nonLocal: true });
    const found = recognise(fake(shapes, "TSM_kinetics_RGB_resnet50_shift4_blockres_avg_segment8_e100_dense_nl.pth"));
    expect(Object.keys(shapes).length).toBe(385);
    expect(found).toMatchObject({ model: "tsm-resnet50-nl", shiftDivisor: 4, unknown: [] });
    expect(found.shifted).toEqual(units(R50));
    expect(parameters(shapes, found)).toBe(31_686_096);
    expect(found.tensors.get("layer3.4.nl.g.bias")).toBe("module.base_model.layer3.4.nl.g.0.bias");
    expect(found.tensors.get("layer2.2.nl.out.bn.weight")).toBe("module.base_model.layer2.2.nl.W.1.weight");
    expect(found.tensors.get("layer2.2.conv1.weight")).toBe("module.base_model.layer2.2.block.conv1.net.weight");
  });

  it("TSN has no shift; so has a plain torchvision ResNet-50", () => {
    const tsn = recognise(fake(resNet({ shifted: () => false }), "TSM_kinetics_RGB_resnet50_avg_segment5_e50.pth"));
    expect(tsn).toMatchObject({ model: "tsm-resnet50", shifted: [], segments: 5, shiftDivisor: 8, unknown: [] });
    const plain = recognise(fake(resNet({ shifted: () => false, prefix: "", head: "fc", classes: 1000 })));
    expect(plain).toMatchObject({ model: "tsm-resnet50", shifted: [], classes: 1000, segments: null, unknown: [] });
  });

  it.each([false, true])("mmaction2, non-local %s", (nonLocal) => {
    const shapes = resNet({ mmaction: true, prefix: "backbone.", head: "cls_head.fc_cls", nonLocal });
    const found = recognise(
      fake(
        { ...shapes, "data_preprocessor.mean": [3, 1, 1] },
        "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb_20220831-64d69186.pth",
      ),
    );
    expect(found).toMatchObject({
      model: nonLocal ? "tsm-resnet50-nl" : "tsm-resnet50",
      segments: 8,
      classes: 400,
      unknown: [],
    });
    expect(found.shifted).toEqual(units(R50));
    expect(found.tensors.get("layer1.0.conv1.weight")).toBe("backbone.layer1.0.conv1.conv.net.weight");
    expect(found.tensors.get("layer4.2.conv3.bn.running_mean")).toBe("backbone.layer4.2.conv3.bn.running_mean");
    if (nonLocal)
      expect(found.tensors.get("layer2.0.nl.out.weight")).toBe(
        "backbone.layer2.0.non_local_block.conv_out.conv.weight",
      );
  });

  it("does not take other depths for ours", () => {
    expect(recognise(fake(resNet({ depths: [3, 8, 36, 3] }))).model).toBeNull();
    expect(recognise(fake(resNet({ depths: [3, 4, 23, 3], nonLocal: true }))).model).toBeNull();
    const holed = resNet();
    delete holed["module.base_model.layer3.2.conv3.weight"];
    expect(recognise(fake(holed)).model).toBeNull();
  });
});

describe("other files", () => {
  it("lists unknown names and does not guess", () => {
    const found = recognise(
      fake({ "blocks.0.attn.qkv.weight": [3, 3], "patch_embed.proj.bias": [3], ["x".repeat(1000)]: [1] }),
    );
    expect(found).toMatchObject({ model: null, classes: null, shifted: [], folded: false });
    expect(found.unknown.length).toBe(3);
    expect(recognise(fake({})).model).toBeNull();
  });

  it("keeps the first of two names for one tensor and calls the other unknown", () => {
    const found = recognise(fake({ ...resNet(), "fc.weight": [7, 2048] }));
    expect(found.unknown).toEqual(["fc.weight"]);
    expect(found.classes).toBe(400);
  });

  it.skipIf(!hasData("weights"))("real safetensors files", async () => {
    const open = async (name: string) =>
      recognise(await openCheckpoint(await fileSource(dataFile(`weights/${name}.safetensors`))));
    const tf = await open("mobilenet_v2_1.0_224_tf_fp32");
    expect(tf).toMatchObject({
      model: "mobilenetv2",
      classes: 1001,
      padding: "same",
      folded: true,
      shifted: [],
      unknown: [],
      ignored: [],
    });
    expect(tf.tensors.size).toBe(106);
    const zoo = await open("mobilenet_v2_1.0_onnxzoo7_backbone_fp32");
    expect(zoo).toMatchObject({ model: "mobilenetv2", classes: null, padding: "symmetric", folded: true, unknown: [] });
    expect(await open("taef1_decoder")).toMatchObject({
      model: "taesd-decoder",
      latents: { decoder: { latent: 16, widths: [64], memory: false, pools: false } },
      unknown: [],
    });
  });
});
