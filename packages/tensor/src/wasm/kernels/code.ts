/** What the code of kernels is written with: their frame, functions they call, locals, index sums. */

import {
  type FunctionBuilder,
  type FunctionReference,
  i32,
  type I32,
  type I32Like,
  kernelSignature,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
  type ValueType,
} from "../assembler/index.js";
import type { KernelCode } from "../launch.js";
import type { MathContext } from "../math/index.js";

/** A tuple of so many elements. */
export type Repeat<T, N extends number, R extends readonly T[] = []> = R["length"] extends N
  ? R
  : Repeat<T, N, [...R, T]>;

/** The code of a kernel: `write` writes what comes first, and gives what writes one work item. */
export function kernelCode(
  key: string,
  write: (c: MathContext, words: I32, scratch: I32) => (item: Local<I32>) => void,
): KernelCode {
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, words, begin, end, scratch) => {
        const item = f.local(i32);
        const turn = write({ module, f }, words, scratch);
        f.for(item, begin, end, 1, () => {
          turn(item);
        });
      });
    },
  };
}

/** A function of a module that takes integers and gives one. */
export type Routine = FunctionReference<readonly ValueType<I32>[], I32>;

/**
 * A function of the module that is not exported; made at its first use. It takes as many integers, up to nine, as
 * `body` has parameters behind the first, and gives 0 where `body` gives nothing.
 */
export function routine(
  module: ModuleBuilder,
  key: string,
  body: (f: FunctionBuilder, ...parameters: Repeat<Local<I32>, 9>) => I32 | undefined,
): Routine {
  const known = module.get(key);
  // The key names the signature.
  if (known !== undefined) return known as unknown as Routine;
  const parameters = Array.from({ length: body.length - 1 }, () => i32);
  return module.function<readonly ValueType<I32>[], I32>(
    key,
    { parameters, result: i32 },
    (f, ...rest) => body(f, ...(rest as Repeat<Local<I32>, 9>)) ?? i32.const(0),
    { export: false },
  );
}

/** So many new integer locals. */
export function integers<N extends number>(f: FunctionBuilder, count: N): Repeat<Local<I32>, N> {
  return f.localArray(i32, count) as Repeat<Local<I32>, N>;
}

/** So many new vector locals. */
export function vectors<N extends number>(f: FunctionBuilder, count: N): Repeat<Local<V128>, N> {
  return f.localArray(v128, count) as Repeat<Local<V128>, N>;
}

/** A number divided into a quotient and the rest, both kept. */
export function divide(f: FunctionBuilder, number: I32, divisor: I32): [Local<I32>, Local<I32>] {
  const quotient = f.let(number.divideUnsigned(divisor));
  return [quotient, f.let(number.subtract(quotient.multiply(divisor)))];
}

/** The smaller of two numbers, kept. */
export function smaller(f: FunctionBuilder, a: I32, b: I32Like): Local<I32> {
  const local = f.let(a);
  f.set<I32>(local, local.minimum(typeof b === "number" ? b : f.keep(b)));
  return local;
}

/** Sets `local` to a number limited to 0 … `last`. */
export function limit(f: FunctionBuilder, local: Local<I32>, number: I32, last: I32): void {
  f.set<I32>(local, number);
  f.set<I32>(local, local.minimum(last));
  f.set<I32>(local, local.maximum(0));
}

/** The address of entry `number` of a list of words. */
export function entryAt(list: I32, number: I32): I32 {
  return list.add(number.shiftLeft(2));
}

/** Entry `number + offset` of a list of words. */
export function entry(list: I32, number: I32, offset = 0): I32 {
  return i32.load(entryAt(list, number), 4 * offset);
}
