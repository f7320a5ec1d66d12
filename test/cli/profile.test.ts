// `kinema profile` as a user starts it.
import { afterAll, describe, expect, it } from "vitest";
import { countMacs } from "../../src/core/graph.ts";
import { buildModel } from "../../src/models/index.ts";
import { type ProfileReport, standardModel } from "../../src/profile.ts";
import { syntheticFile } from "../synthetic_model.ts";
import { expectRefusal, kinema } from "./kinema.ts";
import { Workspace } from "./workspace.ts";

const MODEL = "tsm-mobilenetv2-online";
const SMALL = ["--height", "48", "--width", "64", "--runs", "1"];
const files = new Workspace();
afterAll(() => files.remove());

describe("kinema profile", () => {
  it("writes one JSON object: every step, every product", { timeout: 120_000 }, async () => {
    const { code, stdout, stderr } = await kinema("profile", MODEL, ...SMALL, "--json");
    expect([code, stderr]).toEqual([0, ""]);
    const report = JSON.parse(stdout) as ProfileReport;
    const graph = buildModel(standardModel(MODEL, { height: 48, width: 64 }));
    expect(report).toMatchObject({ model: MODEL, input: [1, 48, 64, 3], dtype: "f32", random: true, runs: 1 });
    expect(report.steps.map(({ node }) => node)).toEqual(graph.nodes.map(({ name }) => name));
    expect(report.steps.reduce((sum, { macs }) => sum + macs, 0)).toBe(countMacs(graph));
    expect(Object.keys(report.ceilings)).toEqual(["flops", "bytes", "loads"]);
    expect(Object.keys(report.ms)).toEqual(["plain", "profiled", "steps"]);
    const measured = ["ms", "share", "macs", "bytes", "loads", "bound", "reached", "loadAware"];
    expect(Object.keys(report.total)).toEqual(measured);
    for (const step of report.steps)
      expect(Object.keys(step)).toEqual(["node", "op", "kernel", "repeats", ...measured]);
    for (const variant of report.variants) expect(Object.keys(variant)).toEqual(["kernel", "dispatches", ...measured]);
  });

  it("draws the table of a checkpoint in a browser", { timeout: 120_000 }, async () => {
    const weights = files.write("online.safetensors", syntheticFile(MODEL, 27));
    const ended = await kinema("profile", "--weights", weights, ...SMALL, "--on", "chromium");
    expect([ended.code, ended.stderr]).toEqual([0, ""]);
    const lines = ended.stdout.split("\n");
    expect(lines[0]).toMatch(new RegExp(`^${MODEL} \\[1, 48, 64, 3\\] f32, on \\S`));
    expect(lines.filter((line) => /^blocks\.\d+\.(expand|depthwise|project) /.test(line)).length).toBe(50);
    expect(ended.stdout).toMatch(/^sum +\d+\.\d{3} +100\.0% /m);
    expect(ended.stdout).toMatch(/^ceilings \S+ GFLOP\/s in registers \(fma\), /m);
  });

  it("refuses what it cannot profile, in one line", async () => {
    await expectRefusal(["profile"], /nothing to profile; name a model \(tsm-resnet50, .*\) or give --weights FILE/);
    await expectRefusal(["profile", "resnet"], /no model "resnet"; there are tsm-resnet50, /);
    await expectRefusal(["profile", MODEL, "vit"], /unexpected argument "vit"/);
    await expectRefusal(["profile", MODEL, "--runs", "0"], /--runs 0 is not a whole number from 1/);
    await expectRefusal(["profile", MODEL, "--runs", "1001"], /a profile is of 1 to 1000 runs, not 1001/);
    await expectRefusal(["profile", "--weights", "nowhere.pth"], /nowhere\.pth/);
  }, 60_000);
});
