/** What the WebAssembly engine at hand can do, found by validating tiny modules. */

import { f32x4, i32x4 } from "./lanes.js";
import { ModuleBuilder, type ModuleOptions } from "./module.js";
import type { FunctionBuilder } from "./function.js";
import { i32, v128 } from "./types.js";

function validates(options: ModuleOptions, body: (f: FunctionBuilder) => void): boolean {
  if (typeof WebAssembly === "undefined") return false;
  const module = new ModuleBuilder(options);
  module.function("probe", { parameters: [], result: null }, body);
  return WebAssembly.validate(module.toBytes());
}

/** Whether 128-bit vectors are there. Nothing works without. */
export function supportsSimd(): boolean {
  return validates({ memory: null }, (f) => {
    f.drop(i32x4.abs(v128.zero()));
  });
}

/** Whether relaxed vector instructions (fused multiply-add) are there: Node ≥ 22, not Node 20. */
export function supportsRelaxedSimd(): boolean {
  return validates({ memory: null }, (f) => {
    f.drop(f32x4.relaxedMadd(v128.zero(), v128.zero(), v128.zero()));
  });
}

/**
 * Whether shared memory and atomics are there. In a page this also needs cross-origin isolation,
 * which is what makes the constructor of shared memory work.
 */
export function supportsThreads(): boolean {
  if (typeof SharedArrayBuffer === "undefined") return false;
  return validates({ memory: { shared: true, maximumPages: 1 } }, (f) => {
    f.drop(i32.atomicLoad(i32.const(0)));
  });
}

/** Whether this thread may sleep: those of pages may not, others and Node's may. */
export function supportsSleep(): boolean {
  if (typeof SharedArrayBuffer === "undefined") return false;
  try {
    return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1) === "not-equal";
  } catch {
    return false;
  }
}
