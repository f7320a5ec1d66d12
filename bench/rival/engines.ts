// The rivals, and which cases each can run.
import { fail } from "../../src/core/fail.ts";
import { CASE_NAMES, type CaseName } from "./cases.ts";
import type { Engine } from "./compare.ts";
import { openJax } from "./jax.ts";
import { openLiteRt } from "./litert.ts";
import { openOrt } from "./ort.ts";
import { openTf } from "./tf.ts";

/** Addresses of folders that a page may read, each with a slash at its end. */
export interface Places {
  /** ONNX files by name of the case. */
  readonly models: string;
  /** onnxruntime-web's own files. */
  readonly ort: string;
  /** LiteRT.js's WebAssembly. */
  readonly litert: string;
  /** What tools/rivals.mjs bundles. */
  readonly scripts: string;
}

export interface Rival {
  /** For people. */
  readonly title: string;
  readonly cases: readonly CaseName[];
  open(name: CaseName, places: Places): Promise<Engine>;
}

const LAYERS = ["matmul-512", "conv3x3", "depthwise"] as const;
const CONVOLUTIONAL = [...LAYERS, "mobilenetv2", "tsm-mobilenetv2", "tsm-resnet50"] as const;

export const RIVALS = {
  "ort-webgpu": {
    title: "onnxruntime-web, WebGPU",
    cases: CASE_NAMES,
    open: (name, places) => openOrt("webgpu", name, places),
  },
  tfjs: {
    title: "TensorFlow.js, WebGPU",
    cases: CONVOLUTIONAL,
    open: openTf,
  },
  jax: { title: "jax-js, WebGPU", cases: [...LAYERS, "mobilenetv2"], open: openJax },
  litert: { title: "LiteRT.js, WebGPU", cases: CONVOLUTIONAL, open: openLiteRt },
  "ort-wasm": {
    title: "onnxruntime-web, one WebAssembly thread",
    cases: CASE_NAMES,
    open: (name, places) => openOrt("wasm", name, places),
  },
} satisfies Record<string, Rival>;

export type RivalName = keyof typeof RIVALS;

export interface Pair {
  readonly name: CaseName;
  readonly rival: RivalName;
}

/** Every case beside every rival that can run it, case by case. @throws "usage" for a name that there is not */
export function choosePairs(cases: readonly string[], rivals: readonly string[]): Pair[] {
  const one = (what: string, given: readonly string[], known: readonly string[]) => {
    const wrong = given.find((name) => !known.includes(name));
    if (wrong !== undefined) fail("usage", `no ${what} is called ${wrong}; there are ${known.join(", ")}`);
    return known.filter((name) => given.length === 0 || given.includes(name));
  };
  const names = one("case for rivals", cases, CASE_NAMES) as CaseName[];
  const engines = one("rival", rivals, Object.keys(RIVALS)) as RivalName[];
  const all = names.flatMap((name) => engines.map((rival) => ({ name, rival })));
  const able = all.filter(({ name, rival }) => (RIVALS[rival].cases as readonly CaseName[]).includes(name));
  if (able.length === 0) fail("usage", `${engines.join(", ")} cannot run ${names.join(", ")}`);
  return able;
}
