// The bodies of the matmul family: each one's arithmetic, and which is chosen where.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Graph, GraphBuilder } from "../src/core/graph.ts";
import { type Dispatch, type Kernel, variantName } from "../src/core/kernel.ts";
import type { Caps, MatrixShape } from "../src/core/op.ts";
import { plan } from "../src/core/plan.ts";
import { tensor } from "../src/core/tensor.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { compile } from "../src/gpu/pipelines.ts";
import { type Dawn, openNullDawn } from "../src/host/dawn.ts";
import * as kernels from "../src/kernels.gen.ts";
import { unit } from "../src/models/layers.ts";
import { LINEAR, matmul } from "../src/ops/index.ts";
import {
  BODIES,
  type BodyName,
  bodiesFor,
  chooseBody,
  classOf,
  matrixTile,
  type Product,
  productOf,
} from "../src/ops/matmul_body.ts";
import { createSession } from "../src/session.ts";
import { choosing, inBody } from "./cases/body.ts";
import type { OpCase } from "./cases/case.ts";
import { checkCase, TESTED } from "./cases/check.ts";
import { useGpu } from "./gpu.ts";

const NAMES = Object.keys(BODIES) as BodyName[];
const TILES = NAMES.filter((name) => BODIES[name].kernel === "tile");
const MATRICES = NAMES.filter((name) => BODIES[name].kernel === "matrix");

const CAPS: Caps = { kind: "gpu", f16: true, subgroups: true, timestamps: false };
/** What Dawn reports of NVIDIA, Intel and Apple GPUs. */
const SHAPES: readonly MatrixShape[] = [
  { component: "f16", m: 16, n: 16, k: 16 },
  { component: "f16", m: 8, n: 16, k: 16 },
  { component: "f16", m: 8, n: 8, k: 8 },
  { component: "f32", m: 8, n: 8, k: 8 },
];

/** Cases of the family. */
const family = TESTED.filter(({ graph }) =>
  plan(graph, CAPS).steps.some(({ dispatch }) => productOf(dispatch) !== null),
);
const caseOf = (title: string): OpCase => family.find(({ graph }) => graph.name === title)!;

/** Workgroup memory on a software adapter is slow to compile, slower still on a busy machine. */
const SLOW = 240_000;

const fixture = useGpu();

describe("tiles in workgroup memory", () => {
  // Of each variant one case; test/naga runs all of them.
  const variants = new Map<string, OpCase>();
  for (const opCase of family)
    for (const { dispatch } of plan(opCase.graph, choosing(CAPS, opCase.graph, "tile 16x64")!).steps)
      if (dispatch.kernel === kernels.matmulTile) variants.set(variantName(dispatch.kernel, dispatch.consts), opCase);

  it.each([...variants])("%s", { timeout: SLOW }, async (_name, opCase) => {
    const gpu = inBody(fixture.as("gpu"), opCase.graph, "tile 16x64")!;
    expect(plan(opCase.graph, gpu.caps).steps.map(({ dispatch }) => dispatch.kernel)).toContain(kernels.matmulTile);
    expect(await checkCase(gpu, opCase)).toEqual([]);
  });

  // The larger tiles differ in consts alone, and take SwiftShader minutes to compile: test/naga runs them.
  it.each(["tile 16x64", "tile 32x64"] as const)(
    "%s, with sums in the order of the register body",
    { timeout: SLOW },
    async (name) => {
      const opCase = caseOf("conv2d 3x3 pad 1,1,1,1 residual [2, 4, 5, 5] -> 18 linear");
      const gpu = fixture.as("gpu");
      const answers: unknown[] = [];
      for (const on of [gpu, inBody(gpu, opCase.graph, "registers 2x8")!, inBody(gpu, opCase.graph, name)!]) {
        using session = await createSession(on, opCase.graph, opCase.weights);
        answers.push(await session.run(opCase.feeds(5)));
      }
      expect(answers[1]).toEqual(answers[0]);
      expect(answers[2]).toEqual(answers[0]);
    },
  );

  it("fold into two dimensions of workgroups", async () => {
    const opCase = caseOf("matmul [101, 9] -> 35");
    const gpu = inBody(fixture.as("gpu"), opCase.graph, "tile 16x64")!;
    // 7 workgroups as 4 by 2, of which the last has nothing to do.
    const folded = through(opCase, (d) => {
      expect(d.groups).toEqual([7, 1, 1]);
      return { ...d, groups: [4, 2, 1] };
    });
    expect(await checkCase(gpu, folded)).toEqual([]);
  });
});

/** The case with its dispatches changed. */
function through(opCase: OpCase, change: (d: Dispatch) => Dispatch): OpCase {
  const nodes = opCase.graph.nodes.map((node) => ({
    ...node,
    op: { ...node.op, lower: (...args: Parameters<typeof node.op.lower>) => node.op.lower(...args).map(change) },
  }));
  return { ...opCase, graph: { ...opCase.graph, nodes } };
}

/**
 * The kernel of subgroup matrices for an adapter that has none: an operand is where it lies in workgroup memory, of 16 by 8 sums a
 * thread of 32 holds four beside each other, and the three functions are loops. What is left is all that the kernel does itself:
 * fetching, places in workgroup memory, barriers, the store side.
 */
function emulated(kernel: Kernel): Kernel {
  const loops = `
var<private> mine: vec2u;
fn multiply(a: vec2u, b: vec2u, c: vec4f) -> vec4f {
  var sum = c;
  for (var k = 0u; k < K; k++) {
    let at = b.x + k * b.y + mine.y;
    sum += xs[a.x + mine.x * a.y + k] * vec4f(ws[at], ws[at + 1u], ws[at + 2u], ws[at + 3u]);
  }
  return sum;
}
fn store(at: u32, sum: vec4f, pitch: u32) {
  for (var i = 0u; i < 4u; i++) { sums[at + mine.x * pitch + mine.y + i] = sum[i]; }
}
`;
  const code = kernel.code
    .replace(/^(enable|diagnostic)\b.*$/gm, "")
    .replace(/= subgroup_matrix_(left|right)<.*>/g, "= vec2u")
    .replace(/= subgroup_matrix_result<.*>/, "= vec4f")
    .replace("subgroupMatrixLoad<Left, row_major>(&xs,", "vec2u(")
    .replace("subgroupMatrixLoad<Right, row_major>(&ws,", "vec2u(")
    .replace("subgroupMatrixMultiplyAccumulate(", "multiply(")
    .replace("subgroupMatrixStore<row_major>(&sums,", "store(")
    .replace("let lane = thread % SUBGROUP;", "let lane = thread % SUBGROUP; mine = vec2u(lane / 2u, lane % 2u * 4u);");
  expect(code).not.toMatch(/subgroup_?matrix/i);
  expect(code).toContain("mine = ");
  return { ...kernel, name: "emulated", code: code + loops };
}

describe("subgroup matrices, emulated", () => {
  const caps = { matrices: [{ component: "f32", m: 16, n: 8, k: 16 }], subgroupSize: 32 } as const;
  const cases = [
    "conv2d 1x1 residual carry 3 [1, 5, 3, 12] -> 22 linear",
    "conv2d 3x3 pad 1,1,1,1 [2, 5, 7, 6] -> 9 relu",
    "conv2d 1x1 shift both 3 [4, 3, 2, 25] -> 18 linear",
    "conv2d 4x4 s4 frames 0 to 3 of [3, 8, 12, 3] -> 18, behind 1 rows",
    "conv3d 2x4x4 s 1,2,2 pad 1,1,1 to 0,1,1 reflect [3, 6, 8, 5] -> 9",
    "conv3d 3x3x3 pad 1,1,1 stream [2, 4, 3, 5] -> 6",
    "convTranspose 3x5x2 s 2,3,1 cut 0,1,1 [3, 4, 2, 5] -> 6",
  ];
  it.each(cases)("%s", { timeout: SLOW }, async (title) => {
    const opCase = caseOf(title);
    const on: Gpu = { ...fixture.as("gpu"), caps: { ...fixture.as("gpu").caps, ...caps } };
    const gpu = inBody(on, opCase.graph, "matrix 64x64")!;
    let dispatches = 0;
    const changed = through(opCase, (d) => {
      expect(d.kernel).toBe(kernels.matmulSubgroupMatrix);
      dispatches++;
      return { ...d, kernel: emulated(d.kernel) };
    });
    expect(await checkCase(gpu, changed)).toEqual([]);
    expect(dispatches).toBeGreaterThan(0);
  });
});

describe("every body, compiled", () => {
  let dawn: Dawn;
  let device: GPUDevice;
  beforeAll(async () => {
    dawn = await openNullDawn();
    const adapter = (await dawn.gpu.requestAdapter())!;
    const requiredFeatures = ["shader-f16", "subgroups", kernelFeature] as GPUFeatureName[];
    device = await adapter.requestDevice({ requiredFeatures });
  });
  afterAll(() => {
    device.destroy();
    dawn.close();
  });
  const kernelFeature = "chromium-experimental-subgroup-matrix";

  /** Compiles the variants to which graphs lower, and says how many there are. */
  async function compileAll(graphs: readonly Graph[], caps: Caps, body: BodyName): Promise<number> {
    const variants = new Map<string, Dispatch>();
    for (const graph of graphs)
      for (const { dispatch: d } of plan(graph, choosing(caps, graph, body) ?? caps).steps)
        if (productOf(d) || d.kernel === kernels.matmulSubgroupMatrix)
          variants.set(variantName(d.kernel, d.consts, d.retype), d);
    await Promise.all([...variants.values()].map((d) => compile(device, d.kernel, d.consts, d.retype)));
    return variants.size;
  }

  it.each(["f32", "native", "unpacked", "arithmetic", "int8"] as const)(
    "takes every load in tiles, weights %s",
    async (form) => {
      const caps: Caps = { ...CAPS, weights: form };
      const graphs = family.map(({ graph }) => graph);
      expect(await compileAll(graphs, caps, "tile 16x64")).toBeGreaterThan(10);
      const { graph } = caseOf("conv2d 3x3 pad 1,1,1,1 residual [2, 4, 5, 5] -> 18 linear");
      for (const body of TILES) expect(await compileAll([graph], caps, body)).toBe(1);
      expect(await compileAll([graph], { ...caps, kind: "cpu" }, "registers")).toBe(1);
      expect(await compileAll([graph], caps, "registers 4x8")).toBe(1);
    },
  );

  it.each(["f32", "native"] as const)(
    "multiplies matrices from every load into every store, weights %s",
    async (weights) => {
      const caps: Caps = { ...CAPS, matrices: SHAPES, subgroupSize: 32, weights };
      const graphs = family.map(({ graph }) => graph);
      expect(await compileAll(graphs, caps, "matrix 64x64")).toBeGreaterThan(10);
    },
  );

  it("takes every shape of matrices and size of subgroups", async () => {
    const { graph } = caseOf("conv2d 3x3 pad 1,1,1,1 residual [2, 4, 5, 5] -> 18 linear");
    let compiled = 0;
    for (const subgroupSize of [16, 32, 64, 128])
      for (const shape of SHAPES)
        for (const body of MATRICES) {
          const caps: Caps = { ...CAPS, matrices: [shape], subgroupSize, weights: "native" };
          compiled += await compileAll([graph], caps, body);
        }
    expect(compiled).toBeGreaterThan(30);
  });
});

describe("the choice of a body", () => {
  const large: Product = { load: "WINDOW", rows: 25088, phases: 1, out4: 64, blocks: 576, form: "f32" };
  const matrices = { matrices: SHAPES, subgroupSize: 32 };

  it("leaves workgroup memory alone where it is emulated, and takes large tiles where there is much to do", () => {
    expect(chooseBody(large, { ...CAPS, kind: "cpu" })).toBe("registers");
    expect(chooseBody(large, CAPS)).toBe("tile 128x64");
    // A 7x7 stage of one frame, and a classifier: tiles would leave most of a GPU idle.
    expect(chooseBody({ ...large, rows: 49, out4: 128 }, CAPS)).toBe("tile 16x64");
    expect(chooseBody({ ...large, rows: 8, out4: 100 }, CAPS)).toBe("registers 1x4");
    expect(chooseBody({ ...large, rows: 1, out4: 100 }, CAPS)).toBe("registers");
  });

  it("takes matrices only where they were measured to be faster", () => {
    expect(MATRICES).not.toContain(
      chooseBody({ ...large, form: "native" }, { ...CAPS, ...matrices, weights: "native" }),
    );
    const tuned = { [classOf(large)]: "matrix 64x64" };
    expect(chooseBody(large, { ...CAPS, ...matrices, tuned })).toBe("matrix 64x64");
    expect(chooseBody(large, { ...CAPS, tuned }), "no such hardware").toBe("tile 128x64");
    expect(chooseBody({ ...large, rows: 3 * large.rows }, { ...CAPS, ...matrices, tuned }), "another class").toBe(
      "tile 128x64",
    );
    expect(chooseBody(large, { ...CAPS, tuned: { [classOf(large)]: "no such body" } })).toBe("tile 128x64");
  });

  it("keeps f32 products f32", () => {
    const caps: Caps = { ...CAPS, ...matrices };
    expect(matrixTile([64, 64], "f32", caps)).toMatchObject({ component: "f32", consts: { M: 8, N: 8, K: 8 } });
    expect(matrixTile([64, 64], "native", caps)).toMatchObject({ component: "f16", consts: { M: 16, N: 16, K: 16 } });
    expect(matrixTile([64, 64], "native", { ...caps, f16: false })).toMatchObject({ component: "f32" });
    expect(matrixTile([64, 64], "f32", { ...caps, matrices: SHAPES.slice(0, 3) })).toBe(null);
    for (const form of ["unpacked", "int8"] as const) expect(matrixTile([64, 64], form, caps)).toBe(null);
    expect(matrixTile([64, 64], "f32", { ...caps, subgroupSize: 256 })).toBe(null);
    expect(bodiesFor(large, { ...caps, matrices: [] })).not.toContain("matrix 64x64");
  });

  it("is read off the dispatches that it leads to", () => {
    const g = new GraphBuilder("product");
    const weights = unit(g, "u", { out: 72, input: 33, kernel: 1, linear: true, batchNorm: false, bias: true });
    g.apply(matmul, "product", { x: g.input("x", tensor(300, 33)), ...weights }, { out: 72, activation: LINEAR });
    const graph = g.build();
    const product = { load: "SAME", rows: 300, phases: 1, out4: 18, blocks: 9 };
    for (const form of ["f32", "native", "unpacked", "arithmetic", "int8"] as const)
      for (const body of ["registers", "tile 32x64"] as const) {
        const caps: Caps = { ...CAPS, weights: form };
        const { steps } = plan(graph, choosing(caps, graph, body)!);
        expect(steps.map(({ dispatch }) => productOf(dispatch))).toEqual([{ ...product, form }]);
        expect(steps[0]!.dispatch.kernel).toBe(body === "registers" ? kernels.matmul : kernels.matmulTile);
      }
    expect(classOf({ ...product, load: "SAME", form: "f32" })).toBe("SAME 2^8 x 2^5 x 2^6 f32");
  });
});
