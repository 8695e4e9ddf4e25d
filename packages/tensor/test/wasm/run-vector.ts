/** For tests: runs vector functions over arrays. */

import {
  i32,
  ModuleBuilder,
  supportsRelaxedSimd,
  v128,
  type V128,
} from "../../src/wasm/assembler/index.js";
import type { MathContext } from "../../src/wasm/math/context.js";

/** Both forms of vector code where the engine has both. */
export const relaxedForms: readonly boolean[] = supportsRelaxedSimd() ? [false, true] : [false];

type Words = Float32Array | Int32Array | Uint32Array;

/** Applies a vector function to arrays of 32-bit elements; gives the bits of the results. */
export function runVector(
  code: (c: MathContext, ...operands: V128[]) => V128,
  operands: readonly Words[],
  relaxed = false,
): Uint32Array {
  const length = operands[0]!.length;
  const padded = Math.ceil(length / 4) * 4;
  const bytes = padded * 4;
  const pages = Math.ceil((bytes * (operands.length + 1)) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages });
  operands.forEach((operand, position) => {
    const words = new Uint32Array(operand.buffer, operand.byteOffset, length);
    new Uint32Array(memory.buffer, position * bytes, length).set(words);
  });
  const module = new ModuleBuilder({ relaxed });
  module.function("run", { parameters: [], result: null }, (f) => {
    const i = f.local(i32);
    f.for(i, 0, bytes, 16, () => {
      const values = operands.map((_, position) => f.let(v128.load(i, position * bytes)));
      const result = f.let(code({ module, f }, ...values));
      f.storeV128(i, result, operands.length * bytes);
    });
  });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()), {
    env: { memory },
  });
  (instance.exports["run"] as () => void)();
  return new Uint32Array(memory.buffer, operands.length * bytes, length).slice();
}

/** The same with float32 results. */
export function runFloats(
  code: (c: MathContext, ...operands: V128[]) => V128,
  operands: readonly Words[],
  relaxed = false,
): Float32Array {
  return new Float32Array(runVector(code, operands, relaxed).buffer);
}

/** Floats spread evenly over all bit patterns (so over all magnitudes), and the special ones. */
export function allMagnitudes(count: number): Float32Array {
  const special = [0, -0, 1, -1, Infinity, -Infinity, NaN, 2 ** -149, -(2 ** -149), 2 ** -126];
  const values = new Float32Array(count);
  const bits = new Uint32Array(values.buffer);
  const stride = Math.floor(2 ** 32 / count);
  for (let i = 0; i < count; i++) bits[i] = i * stride;
  values.set(special, 1);
  return values;
}

/** Floats at even distances. */
export function interval(from: number, to: number, count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));
}

/** The distance of neighbouring float32 numbers at x. */
export function ulp(x: number): number {
  const magnitude = Math.abs(x);
  if (magnitude < 2 ** -126) return 2 ** -149;
  return 2 ** (Math.floor(Math.log2(magnitude)) - 23);
}

/**
 * The largest error in units of the last place; infinite where one is NaN or infinite and the
 * other is not, or a zero or infinity has the wrong sign.
 */
export function largestUlps(
  inputs: readonly Float32Array[],
  results: Float32Array,
  exact: (...operands: number[]) => number,
): { ulps: number; at: number[]; got: number; expected: number } {
  let worst = { ulps: 0, at: [NaN], got: NaN, expected: NaN };
  for (let i = 0; i < results.length; i++) {
    const at = inputs.map((input) => input[i]!);
    const expected = exact(...at);
    const got = results[i]!;
    const rounded = Math.fround(expected);
    let ulps: number;
    if (Object.is(got, rounded)) ulps = 0;
    else if (Number.isFinite(got) && Number.isFinite(rounded) && rounded !== 0) {
      ulps = Math.abs(got - expected) / ulp(expected);
    } else if (rounded === 0 && got !== 0 && Number.isFinite(got)) {
      ulps = Math.abs(got - expected) / 2 ** -149;
    } else if (Number.isFinite(got) && Math.abs(expected) > 3.4e38 && !Number.isNaN(expected)) {
      // The largest float instead of infinity, or the reverse, is one step.
      ulps = Math.abs(got) > 3.4e38 && Math.sign(got) === Math.sign(expected) ? 1 : Infinity;
    } else ulps = Infinity;
    if (!(ulps <= worst.ulps)) worst = { ulps, at, got, expected };
  }
  return worst;
}
