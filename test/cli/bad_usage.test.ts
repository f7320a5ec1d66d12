// What the program says to command lines that it cannot use: exit code 2 and one line.
import { afterAll, describe, expect, it } from "vitest";
import { syntheticFile } from "../synthetic_model.ts";
import { expectRefusal, kinema, ROOT } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const good = files.write("good.safetensors", syntheticFile("mobilenetv2", 5));
const image = files.input("image.safetensors", "image", [1, 3, 33, 47]);
const run = ["run", "mobilenetv2", "--weights", good, "--in", image, "--out", files.path("out.safetensors")];

describe("command lines that do not do", () => {
  const clip = `${ROOT}bench/assets/motion.webm`;
  const dropped = (flag: string) => {
    const args = [...run];
    args.splice(args.indexOf(flag), 2);
    return args;
  };
  it.each<[string, string[], RegExp]>([
    ["nothing", [], /no command; give one of classify, run, verify, inspect/],
    ["a misspelt command", ["clasify", clip], /unknown command clasify; did you mean classify\?/],
    ["a misspelt flag", ["classify", clip, "--weigths", good], /unknown flag --weigths; did you mean --weights\?/],
    ["run without --weights", dropped("--weights"), /no weights; give --weights FILE/],
    ["run without --in", dropped("--in"), /no input; give --in FILE/],
    ["run without --out", dropped("--out"), /no output; give --out FILE/],
    ["verify without --reference", ["verify", "mobilenetv2", "--weights", good], /no reference; give --reference FILE/],
    ["no model", ["run", "--weights", good], /MODEL is missing/],
    [
      "a model that is not there",
      ["run", "slowfast", "--weights", good],
      /no model "slowfast"; there are tsm-resnet50,/,
    ],
    [
      "a --model that is not there",
      ["classify", clip, "--weights", good, "--model", "x3d"],
      /--model x3d is not one of/,
    ],
    ["an unknown setting", [...run, "--set", "padding=valid"], /--set padding=valid: what can be set is padding=same/],
    ["an unknown place", [...run, "--on", "deno"], /--on deno is not one of node, chromium/],
    ["nothing to tune for", ["tune"], /nothing to tune for; name a model \(.*\) or give --weights FILE/],
    ["an unknown type", [...run, "--dtype", "i8"], /--dtype i8 is not one of f32, f16, int8, auto/],
    [
      "a count of nothing",
      ["classify", clip, "--weights", good, "--frames", "0"],
      /--frames 0 is not a whole number from 1/,
    ],
    [
      "--online with another model",
      ["classify", clip, "--weights", good, "--online", "--model", "mobilenetv2"],
      /--online is for tsm-mobilenetv2-online and stam; leave --model mobilenetv2 out, or --online/,
    ],
    ["two files", ["inspect", good, good], /unexpected argument/],
    [
      "labels that are not there",
      ["classify", clip, "--weights", good, "--labels", files.path("l")],
      /l: no such file/,
    ],
    [
      "no labels",
      ["classify", clip, "--weights", good, "--labels", files.write("none.txt", "\n\n")],
      /none\.txt holds no labels/,
    ],
    [
      "a picture over the weights",
      ["classify", clip, "--weights", good, "--explain", good],
      /is read itself; give --explain another name/,
    ],
    ["a video that is not there", ["classify", files.path("v.mp4"), "--weights", good], /v\.mp4: no such file/],
    ["an empty video", ["classify", files.write("e.mp4", ""), "--weights", good], /e\.mp4 is empty; give a video file/],
  ])("%s", async (_name, args, message) => {
    await expectRefusal(args, message);
  });

  it("help and version go to stdout and end with 0", async () => {
    for (const args of [["--help"], ["classify", "--help"], ["--version"]]) {
      const { code, stdout, stderr } = await kinema(...args);
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout.length).toBeGreaterThan(4);
    }
  });
});
