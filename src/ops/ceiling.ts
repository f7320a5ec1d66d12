// What an adapter can do at most, as ops: the profiler measures its kernels against them (src/ceilings.ts).
import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { shapeText, storedLength, tensor } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

export interface CeilingFmaAttrs {
  /** Sums of four lanes in flight in a thread. */
  readonly chains: number;
  /** Four multiply-adds of every chain each. */
  readonly rounds: number;
  readonly factor: number;
  /** In f16. */
  readonly half?: boolean;
}

/** Multiply-adds in registers: y has the shape of x; see kernels/ceiling_fma.wgsl. */
export const ceilingFma = defineOp<CeilingFmaAttrs>({
  name: "ceilingFma",
  takes: ["x"],
  infer: ({ x }) => ({ y: x! }),
  lower: ({ x, y }, { chains, rounds, factor, half }) => {
    const total = storedLength(y!.spec) / 4;
    return [
      dispatch(kernels.ceilingFma, {
        consts: { CHAINS: chains },
        params: { total, rounds, factor },
        bind: { x: x!, y: y! },
        groups: flat(total, kernels.ceilingFma.consts.WG),
        ...(half ? { retype: { Four: "vec4h" } } : {}),
      }),
    ];
  },
  macs: (_inputs, { y }, { chains, rounds }) => storedLength(y!) * chains * rounds * 4,
});

/** y = x, element for element. */
export const ceilingCopy = defineOp<object>({
  name: "ceilingCopy",
  takes: ["x"],
  infer: ({ x }) => ({ y: x! }),
  lower: ({ x, y }) => {
    const total = storedLength(y!.spec) / 4;
    const threads = Math.ceil(total / 4);
    return [
      dispatch(kernels.ceilingCopy, {
        params: { total, threads },
        bind: { x: x!, y: y! },
        groups: flat(threads, kernels.ceilingCopy.consts.WG),
      }),
    ];
  },
});

export interface CeilingLoadAttrs {
  /** Elements of y, four channels each: one a thread. */
  readonly threads: number;
  /** Four blocks each, of four loads of 16 bytes. */
  readonly rounds: number;
  /** x is read as f16, twice as many blocks of two loads each, and only the first half of them. */
  readonly half?: "native" | "unpacked";
}

/** Sums of 4x4 blocks out of x [size, 16], size a power of two; y is [threads, 4]. */
export const ceilingLoad = defineOp<CeilingLoadAttrs>({
  name: "ceilingLoad",
  takes: ["x"],
  infer({ x }, { threads }) {
    const size = storedLength(x!) / 16;
    if ((size & (size - 1)) !== 0)
      fail("graph", `${shapeText(x!)} holds ${size} blocks of 16; a power of two of them is needed`);
    return { y: tensor(threads, 4) };
  },
  lower: ({ x, y }, { threads, rounds, half }) => [
    dispatch(kernels.ceilingLoad, {
      consts: { UNPACKED: half === "unpacked", NEIGHBOURS: half === "unpacked" ? 2 : 4 },
      params: { total: threads, rounds, mask: storedLength(x!.spec) / 16 - 1 },
      bind: { x: x!, y: y! },
      groups: flat(threads, kernels.ceilingLoad.consts.WG),
      ...(half ? { retype: { x: half === "native" ? "array<mat4x4h>" : "array<array<vec4u, 2>>" } } : {}),
    }),
  ],
});
