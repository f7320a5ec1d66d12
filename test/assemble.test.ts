import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { assembleLegacy, assembleZip, checkpointLayout } from "./assemble.ts";
import { syntheticTensor } from "./synthetic.ts";

const models = ["tsm-mobilenetv2", "tsm-mobilenetv2-online", "tsm-resnet50", "tsm-resnet101", "tsm-resnet50-nl"];
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe.each(models)("checkpoint of %s", (model) => {
  it("is the file that PyTorch wrote, byte for byte", { timeout: 60_000 }, async () => {
    for (const [container, assembled] of [
      ["legacy", assembleLegacy],
      ["zip", assembleZip],
    ] as const) {
      const file = await assembled(model);
      const layout = await checkpointLayout(model, container);
      expect(file.length).toBe(layout.bytes);
      expect(sha256(file)).toBe(layout.sha256);
    }
  });
});

describe("synthetic tensors", () => {
  it("are the values that tools/reference/synthetic.py gives", () => {
    expect([...syntheticTensor("head.bias", [3])]).toEqual([
      0.11876170337200165, 0.14632801711559296, 0.1257416009902954,
    ]);
    expect([...syntheticTensor("stem.weight", [2, 3, 1, 1])].slice(0, 2)).toEqual([
      -0.5945954322814941, 1.0689356327056885,
    ]);
    expect(() => syntheticTensor("no.such.unit.weight", [4, 4])).toThrow("no.such.unit");
  });
});
