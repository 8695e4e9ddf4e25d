/**
 * Walking over many tensors in one launch: each work item is a chunk of one of them, found in a
 * table of addresses behind the named argument words.
 */

import { i32, kernelSignature, v128, type V128 } from "../../assembler/index.js";
import type { KernelCode, LaunchArgument } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import { argumentWords, endOfArguments, integerArgument, readArguments } from "../arguments.js";

/** Elements of a work item: some microseconds of work. */
const chunkElements = 4096;

/** What is done to four elements (in the tail, to one) of a set of tensors. */
export interface ElementProgram {
  /** Identity of the code. */
  readonly key: string;
  /** How many numbers hold for all elements. */
  readonly numbers: number;
  /** How many tensors of each set are read, and how many are written. */
  readonly reads: number;
  readonly writes: number;
  /** From the numbers and what was read to what is written. */
  readonly emit: (
    c: MathContext,
    numbers: readonly V128[],
    elements: readonly V128[],
  ) => readonly V128[];
}

/** Tensors of one size that belong together: addresses of what is read, then of what is written. */
export interface TensorSet {
  readonly elements: number;
  readonly addresses: readonly LaunchArgument[];
}

const names = ["numbers"] as const;

// Words of a row of the table before its addresses: the first item of the set, and its elements.
const rowWords = 2;

/** The code of a program over chunks of sets of tensors. */
export function chunkCode(program: ElementProgram): KernelCode {
  const { reads, writes } = program;
  const key = `chunks/${program.key}`;
  const rowBytes = 4 * (rowWords + reads + writes);
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const own = readArguments(f, address, names);
        const numbers = Array.from({ length: program.numbers }, (_, i) =>
          f.let(v128.load32Splat(own.numbers, 4 * i)),
        );
        const row = f.let(endOfArguments(names, address));
        const pointers = f.localArray(i32, reads + writes);
        const left = f.local(i32);
        const item = f.local(i32);
        f.for(item, begin, end, 1, () => {
          // Items of a set are neighbours; a row behind the last set ends the search.
          f.while(i32.load(row, rowBytes).lessEqual(item), () => f.increment(row, rowBytes));
          const start = f.let(item.subtract(i32.load(row)).multiply(chunkElements));
          pointers.forEach((pointer, i) => {
            const base = i32.load(row, 4 * (rowWords + i));
            f.set(pointer, base.add(start.shiftLeft(2)));
          });
          f.set(left, i32.load(row, 4).subtract(start));
          f.set(left, left.minimum(chunkElements));
          const turn = (elements: 1 | 4): void => {
            const load = elements === 4 ? v128.load.bind(v128) : v128.load32Zero.bind(v128);
            const read = pointers.slice(0, reads).map((pointer) => f.let(load(pointer)));
            const results = program.emit({ module, f }, numbers, read);
            results.forEach((result, i) => {
              const pointer = pointers[reads + i]!;
              if (elements === 4) f.storeV128(pointer, result);
              else f.storeLane(32, pointer, result, 0);
            });
            for (const pointer of pointers) f.increment(pointer, 4 * elements);
            f.increment(left, -elements);
          };
          f.while(left.greaterEqual(4), () => turn(4));
          f.while(left, () => turn(1));
        });
      });
    },
  };
}

/** The argument words of a program, and how many items there are. */
export function chunkArguments(
  numbers: LaunchArgument,
  sets: readonly TensorSet[],
  columns: number,
): { readonly words: readonly LaunchArgument[]; readonly items: number } {
  const words = argumentWords(names, { numbers });
  let items = 0;
  for (const { elements, addresses } of sets) {
    words.push(integerArgument(items), integerArgument(elements), ...addresses);
    items += Math.ceil(elements / chunkElements);
  }
  const end = new Array<number>(rowWords + columns).fill(0).with(0, 0x7fffffff);
  words.push(...end.map(integerArgument));
  return { words, items };
}
