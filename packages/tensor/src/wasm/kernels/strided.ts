/** Loops over strided memory: few of them, and positions in them. */

import type { Operand } from "../../plan/schedule.js";
import { type FunctionBuilder, i32, type I32, type Local } from "../assembler/index.js";
import type { LaunchArgument } from "../launch.js";
import { integerArgument } from "./arguments.js";

/** Loops from the outermost to the innermost, each walking over several arrays at once. */
export interface StridedLoops {
  readonly sizes: readonly number[];
  /** For every array its stride per loop. */
  readonly strides: readonly (readonly number[])[];
}

/** The same iteration with as few loops as possible: no loops of size 1, neighbours joined. */
export function collapseLoops({ sizes, strides }: StridedLoops): StridedLoops {
  const resultSizes: number[] = [];
  const resultStrides: number[][] = strides.map(() => []);
  sizes.forEach((size, d) => {
    if (size === 1) return;
    const last = resultSizes.length - 1;
    const joins =
      last >= 0 && strides.every((own, v) => resultStrides[v]![last] === own[d]! * size);
    if (joins) {
      resultSizes[last]! *= size;
      for (const [v, own] of strides.entries()) resultStrides[v]![last] = own[d]!;
    } else {
      resultSizes.push(size);
      for (const [v, own] of strides.entries()) resultStrides[v]!.push(own[d]!);
    }
  });
  return { sizes: resultSizes, strides: resultStrides };
}

/** The innermost loop taken off; a loop of size 1 where there is none. */
export function splitInnermost(loops: StridedLoops): {
  readonly outer: StridedLoops;
  readonly size: number;
  readonly strides: readonly number[];
} {
  return {
    outer: {
      sizes: loops.sizes.slice(0, -1),
      strides: loops.strides.map((own) => own.slice(0, -1)),
    },
    size: loops.sizes.at(-1) ?? 1,
    strides: loops.strides.map((own) => own.at(-1) ?? 0),
  };
}

/** Whether the axes behind `axis` are one contiguous block; the others may lie anywhere. */
export function hasDenseBlocks(view: Operand, axis: number): boolean {
  let expected = 1;
  for (let d = view.shape.length - 1; d > axis; d--) {
    if (view.shape[d] !== 1 && view.strides[d] !== expected) return false;
    expected *= view.shape[d]!;
  }
  return true;
}

/** Number of iterations. */
export function iterations(loops: StridedLoops): number {
  return loops.sizes.reduce((product, size) => product * size, 1);
}

/** Loops as argument words, for `offsetsAt`: their number, then size and strides of each, innermost first. */
export function loopWords({ sizes, strides }: StridedLoops): LaunchArgument[] {
  const words = [sizes.length];
  for (let d = sizes.length - 1; d >= 0; d--) {
    words.push(sizes[d]!, ...strides.map((own) => own[d]!));
  }
  return words.map(integerArgument);
}

/**
 * Where iteration `iteration` of the loops at `words` (as `loopWords` writes them) stands in each
 * of the `arrays` arrays. Works for any number of loops, known only at run time.
 */
export function offsetsAt(
  f: FunctionBuilder,
  words: I32,
  iteration: I32,
  arrays: number,
): Local<I32>[] {
  const offsets = Array.from({ length: arrays }, () => f.letI32(0));
  const at = f.let(words);
  const rest = f.let(iteration);
  const quotient = f.local(i32);
  const remainder = f.local(i32);
  const loops = f.let(i32.load(at));
  f.while(loops, () => {
    const size = i32.load(at, 4);
    f.set<I32>(quotient, rest.divideUnsigned(size));
    f.set<I32>(remainder, rest.subtract(quotient.multiply(size)));
    offsets.forEach((offset, v) => {
      f.increment(offset, remainder.multiply(i32.load(at, 8 + 4 * v)));
    });
    f.set<I32>(rest, quotient);
    f.increment(at, 4 * (1 + arrays));
    f.increment(loops, -1);
  });
  return offsets;
}
