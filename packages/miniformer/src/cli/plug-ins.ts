/** Attention mechanisms and devices of other packages, which are loaded when they are asked for. */

import { reference, setDevice, setThreads, XError, type Device } from "@x/tensor";
import type { AttentionMechanism } from "@x/tensor/nn";
import { registerAttention, type RegisteredAttention } from "../config/attention-registry.js";
import type { AttentionSpec } from "../config/fields.js";
import { reasonOf } from "../runtime/reason.js";
import type { DeviceChoice } from "./values.js";

/** Loads a package by its name. */
export type Importer = (name: string) => Promise<unknown>;

// A name that no bundler and no checker of imports follows: what is not installed is not needed.
const importPackage: Importer = async (name) => import(/* @vite-ignore */ name) as Promise<unknown>;

interface PlugIn {
  /** What must be installed. */
  readonly package: string;
  /** Whether a mechanism depends on the length that a model is trained on. */
  readonly hasLength?: boolean;
  /** What to register, of all that the package exports. */
  readonly registration: (exports: unknown) => RegisteredAttention;
}

type Options = Readonly<Record<string, unknown>>;

interface TrimExports {
  readonly CumulativeLinearAttention: new (options: Options) => AttentionMechanism;
}

interface LinearExports {
  readonly linearAttention: (options: Options) => AttentionMechanism;
}

interface SrfExports {
  readonly srfAttention: (options: Options) => AttentionMechanism;
}

interface ThinformerExports {
  readonly thinformerAttention: (options: Options) => AttentionMechanism;
}

// The same as in the table of apps/bench, whose tests compare them. The length of training, where a
// configuration has it among its options, comes before the longest one.
const plugIns: Readonly<Record<string, PlugIn>> = {
  trim: {
    package: "@x/trim",
    hasLength: true,
    registration: (exports) => ({
      // Without softmax, what attention gives grows with the number of keys: norms keep each product
      // in bounds and the scale, which the length decides, their sum.
      needsNorm: true,
      make: ({ length, options }) =>
        new (exports as TrimExports).CumulativeLinearAttention({ length, ...options }),
    }),
  },
  linear: {
    package: "@x/linear-attn",
    registration: (exports) => ({
      make: ({ options }) => (exports as LinearExports).linearAttention(options),
    }),
  },
  srf: {
    package: "@x/srf",
    registration: (exports) => ({
      make: ({ headDim, options }) =>
        (exports as SrfExports).srfAttention({ headDim, epsilon: 1e-6, ...options }),
    }),
  },
  thinformer: {
    package: "@x/thinformer",
    hasLength: true,
    registration: (exports) => ({
      make: ({ length, options }) =>
        (exports as ThinformerExports).thinformerAttention({ length, ...options }),
    }),
  },
};

/** What `--attention` takes. */
export const attentionNames: readonly string[] = ["softmax", ...Object.keys(plugIns)];

/** What a configuration says of attention with a name, for sequences of a length. */
export function attentionSpec(name: string, length: number): AttentionSpec {
  return plugIns[name]?.hasLength === true ? { name, length } : name;
}

/**
 * Registers mechanisms by their names, so that models can be made with them.
 *
 * @throws XError `unsupported` if a package is not installed
 */
export async function loadAttention(
  names: Iterable<string>,
  importer: Importer = importPackage,
): Promise<void> {
  for (const name of new Set(names)) {
    const plugIn = plugIns[name];
    // What is not known here may be registered already, and is refused by name if not.
    if (plugIn === undefined) continue;
    const exports = await load(`--attention ${name}`, plugIn.package, importer);
    registerAttention(name, plugIn.registration(exports));
  }
}

async function load(option: string, name: string, importer: Importer): Promise<unknown> {
  try {
    return await importer(name);
  } catch (error) {
    throw new XError(
      "unsupported",
      `${option}: the package ${name} must be installed, got none that can be loaded (${reasonOf(error).split("\n")[0]}). Install it beside @x/miniformer: npm install ${name}.`,
      { cause: error },
    );
  }
}

/**
 * Makes the chosen device the current one.
 *
 * @throws XError `unsupported` if its package is not installed
 */
export async function useDevice(
  { device, threads }: DeviceChoice,
  importer: Importer = importPackage,
): Promise<void> {
  if (device === "reference") setDevice(reference());
  else if (device === "wasm") setThreads(threads);
  else {
    const exports = await load("--device webgpu", "@x/kernels-webgpu", importer);
    setDevice(await (exports as { webgpu(): Promise<Device> }).webgpu());
  }
}
