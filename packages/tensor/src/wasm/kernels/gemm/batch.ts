/** Finding the matrices of a batch index. */

import { type FunctionBuilder, i32, type I32, type Local } from "../../assembler/index.js";
import type { LaunchArgument } from "../../launch.js";
import type { BatchAxis } from "./problem.js";

const wordsPerAxis = 4;

/** Bytes of the words that `batchWords` gives. */
export function batchBytes(axes: number): number {
  return axes * wordsPerAxis * 4;
}

/**
 * Strides of a dense array that holds one entry for each right matrix that differs: 0 along the axes
 * that share it. Also their number.
 */
export function distinctRight(axes: readonly BatchAxis[]): { strides: number[]; count: number } {
  let count = 1;
  const strides = axes.map(() => 0);
  for (let i = axes.length - 1; i >= 0; i--) {
    if (axes[i]!.right === 0) continue;
    strides[i] = count;
    count *= axes[i]!.size;
  }
  return { strides, count };
}

/** The words of the axes: size, and the bytes that each matrix moves along it. */
export function batchWords(
  axes: readonly BatchAxis[],
  packedRightStrides: readonly number[],
): LaunchArgument[] {
  return axes.flatMap(({ size, left, right }, i) =>
    [size, left * 4, right * 4, packedRightStrides[i] ?? 0].map((value) => ({
      kind: "int" as const,
      value,
    })),
  );
}

/** Adds to each given address what batch index `index` moves it by. */
export function moveToBatch(
  f: FunctionBuilder,
  words: I32,
  axes: number,
  index: I32,
  addresses: readonly (Local<I32> | null)[],
): void {
  const rest = f.let(index);
  for (let axis = axes - 1; axis >= 0; axis--) {
    const at = axis * wordsPerAxis * 4;
    const size = i32.load(words, at);
    const here = axis === 0 ? rest : f.let(rest.remainderUnsigned(size));
    addresses.forEach((address, i) => {
      if (address) f.increment(address, here.multiply(i32.load(words, at + 4 + i * 4)));
    });
    if (axis > 0) f.set<I32>(rest, rest.divideUnsigned(size));
  }
}
