// Do two threads ever meet in one element? The smallest case of every kernel variant in wgsl_reflect's lockstep interpreter,
// which also computes: its answers are held against the f64 references, so that a race-free nothing does not pass.
import { describe, expect, it } from "vitest";
// The package's "main" is CommonJS under "type": "module" and cannot be imported by name (wgsl_reflect 1.6.0).
import { detectRaces } from "wgsl_reflect/wgsl_reflect.module.js";
import { type Dispatch, type Kernel, packParams, variantName } from "../src/core/kernel.ts";
import type { Caps } from "../src/core/op.ts";
import { type Plan, plan } from "../src/core/plan.ts";
import { specialise } from "../src/core/specialise.ts";
import { padChannels, unpadChannels } from "../src/core/tensor.ts";
import * as kernels from "../src/kernels.gen.ts";
import { IMAGENET, place } from "../src/video/geometry.ts";
import { fastParams, referenceParams } from "../src/video/params.ts";
import { choosing } from "./cases/body.ts";
import type { Feeds, OpCase } from "./cases/case.ts";
import { CASES } from "./cases/index.ts";
import { mismatch } from "./close.ts";

type Memory = Map<number, Float32Array<ArrayBuffer>>;

/** Memory of every value; a value that takes over another's shares its array. */
function memoryOf({ graph }: Plan, feeds: Feeds, weights: OpCase["weights"]): Memory {
  const memory: Memory = new Map();
  for (const value of graph.values) {
    const given = value.source?.pack((name) => weights.get(name)!) ?? feeds[value.name];
    const length = value.bytes / 4;
    memory.set(
      value.id,
      given ? padChannels(given as Float32Array<ArrayBuffer>, value.spec).slice() : new Float32Array(length),
    );
  }
  for (const node of graph.nodes)
    for (const [output, input] of Object.entries(node.op.inPlace ?? {})) {
      if (node.inputs[input]) memory.set(node.outputs[output]!.id, memory.get(node.inputs[input].id)!);
    }
  return memory;
}

/** One workgroup for the whole dispatch: the interpreter compares the threads of a workgroup. */
const WHOLE = 256;

/** Threads that share memory are interpreted as they are: a workgroup of theirs does not grow. */
const shares = ({ code }: Kernel) => code.includes("var<workgroup>");

function interpret(dispatch: Dispatch, memory: Memory) {
  const { kernel, params, bind } = dispatch;
  const bindings: Record<number, unknown> = {};
  for (const [name, { index }] of Object.entries(kernel.bindings)) {
    const value = bind[name];
    bindings[index] = value ? memory.get(value.id) : new Float32Array(64);
    if (name !== "params") continue;
    const view = new DataView(new ArrayBuffer(kernel.paramsBytes));
    packParams(kernel, params, view, 0);
    bindings[index] = { uniform: view.buffer };
  }
  // Interpreter 1.6.0 makes zeros of a matrix that a function returns: the load stands where the call is. It divides vectors
  // of integers as if they were not.
  const WG = shares(kernel) ? kernel.consts.WG! : WHOLE;
  const code = specialise(kernel, { ...dispatch.consts, WG })
    .replace(/\bweights\((.*), thread & 3u, \w+\);/g, "w[$1];")
    .replace(/= block_at\((.*), i\);/g, "= x[$1];")
    .replace(/\((inner \+ .*)\) \/ strides;/, "vec3u(floor(vec3f($1) / vec3f(strides)));");
  return detectRaces(code, "main", [1, 1, 1], { 0: bindings });
}

const threads = ({ groups, kernel, consts }: Dispatch) =>
  groups[0] * groups[1] * ((consts.WG ?? kernel.consts.WG) as number);

const CAPS = { f16: false, subgroups: false, timestamps: false } as const;

/** The smallest case of every kernel variant, for both kinds of adapters and in workgroup memory. */
const smallest = new Map<string, { opCase: OpCase; planned: Plan }>();
for (const opCase of CASES.filter(({ bench }) => !bench)) {
  const gpu: Caps = { ...CAPS, kind: "gpu" };
  for (const caps of [gpu, { ...gpu, kind: "cpu" } as const, choosing(gpu, opCase.graph, "tile 16x64")]) {
    if (!caps) continue;
    const planned = plan(opCase.graph, caps);
    if (
      planned.steps.some(({ dispatch: d }) => threads(d) > (shares(d.kernel) ? (d.kernel.consts.WG as number) : WHOLE))
    )
      continue;
    for (const { dispatch } of planned.steps) {
      const name = variantName(dispatch.kernel, dispatch.consts);
      // The interpreter has no bits of floats, and loses its way in phases of frames; the op tests cover both on devices.
      if (dispatch.consts.UNPACKED || (dispatch.consts.PHASES && (dispatch.params.stride_frames as number) > 1))
        continue;
      if (opCase.bytes < (smallest.get(name)?.opCase.bytes ?? Number.POSITIVE_INFINITY)) {
        smallest.set(name, { opCase, planned });
      }
    }
  }
}

describe("races", () => {
  it.each([...smallest])(
    "%s",
    (_name, { opCase, planned }) => {
      const feeds = opCase.feeds(7);
      const memory = memoryOf(planned, feeds, opCase.weights);
      for (const { dispatch } of planned.steps) expect(interpret(dispatch, memory)).toEqual({ races: [], errors: [] });
      for (const [name, expected] of Object.entries(opCase.expected(feeds))) {
        const value = opCase.graph.outputs[name] ?? opCase.graph.values.find((v) => v.name === name)!;
        expect(mismatch(name, unpadChannels(memory.get(value.id)!, value.spec), expected)).toBeNull();
      }
    },
    30_000,
  );

  it("every kernel of the ops is among them", () => {
    const run = new Set(
      [...smallest.values()].flatMap(({ planned }) => planned.steps.map((s) => s.dispatch.kernel.name)),
    );
    const all = Object.values(kernels as Record<string, Kernel>).filter(
      // The interpreter knows no subgroups: test/bodies.test.ts runs that kernel on loops in their place.
      ({ name }) => !name.startsWith("frame") && name !== kernels.matmulSubgroupMatrix.name,
    );
    expect(run).toEqual(new Set(all.map(({ name }) => name)));
  });

  it("the shift in place, which must not be, is found", () => {
    const broken: Kernel = {
      ...kernels.temporalShift,
      code: kernels.temporalShift.code.replaceAll("y[i] =", "x[i] ="),
    };
    const found = CASES.find(({ op, graph }) => op === "temporalShift" && graph.values[0]!.bytes < 1024)!;
    const planned = plan(found.graph, { ...CAPS, kind: "gpu" });
    const memory = memoryOf(planned, found.feeds(7), found.weights);
    expect(interpret({ ...planned.steps[0]!.dispatch, kernel: broken }, memory).races.length).toBeGreaterThan(0);
  });

  // detectRaces leaves textures unbound, so a pixel's colour is a number made of its coordinates.
  const placement = place({ width: 9, height: 7 }, { ...IMAGENET, resize: 6, crop: 5 }, 90, true);
  const reference = referenceParams(placement, IMAGENET, 1);
  it.each([
    [
      "frameFast",
      kernels.frameFast,
      "textureSampleBaseClampToEdge(frame, linear, at)",
      fastParams(placement, IMAGENET, 1),
    ],
    ["frameReference", kernels.frameReference, "textureLoad(frame, at, 0)", reference.params],
  ] as const)("%s", (_name, kernel: Kernel, colour, params) => {
    const replaced = kernel.code.replace(colour, "vec4f(0.1 * f32(at.x), 0.1 * f32(at.y), 0.5, 1.0)");
    expect(replaced).not.toBe(kernel.code);
    const view = new DataView(new ArrayBuffer(kernel.paramsBytes));
    packParams(kernel, params, view, 0);
    const y = new Float32Array(3 * 25 * 4).fill(Number.NaN);
    const of: Record<string, unknown> = {
      y,
      columns: reference.columns,
      lines: reference.lines,
      params: { uniform: view.buffer },
    };
    const bindings = Object.fromEntries(Object.entries(kernel.bindings).map(([name, { index }]) => [index, of[name]]));
    const code = replaced.replace(/^.*(?:texture_2d<f32>|: sampler);$/gm, "");
    expect(detectRaces(code, "main", [1, 1, 1], { 0: bindings })).toEqual({ races: [], errors: [] });
    expect(y.findIndex((v) => !Number.isNaN(v))).toBe(100);
    expect(y.subarray(100, 200).every((v) => Number.isFinite(v))).toBe(true);
    expect(y.subarray(200).every(Number.isNaN)).toBe(true);
  });
});
