/**
 * Argument words of kernels, by name: `lower` says what each holds, the emitted code reads them.
 *
 * A kernel lists the names once. Lists of varying length (loops of any rank) come behind the named
 * words.
 */

import type { Operand } from "../../plan/schedule.js";
import { bytesPerElement } from "../../tensor/dtype.js";
import { type FunctionBuilder, i32, type I32, type Local } from "../assembler/index.js";
import type { KernelCode, Launch, LaunchArgument } from "../launch.js";
import type { Repeat } from "./code.js";

/** The names of a kernel's argument words, in their order. */
export type ArgumentNames = readonly string[];

/** What each word holds; a plain number is an integer. */
export type ArgumentValues<N extends ArgumentNames> = Readonly<
  Record<N[number], LaunchArgument | number>
>;

/** The words in the order of the names. */
export function argumentWords<const N extends ArgumentNames>(
  names: N,
  values: ArgumentValues<N>,
): LaunchArgument[] {
  return names.map((name) => {
    const value: LaunchArgument | number = values[name as N[number]];
    return typeof value === "number" ? integerArgument(value) : value;
  });
}

/** The offset of one word in bytes, for those that are not read as integers. */
export function argumentOffset<const N extends ArgumentNames>(names: N, name: N[number]): number {
  return 4 * names.indexOf(name);
}

/** Where the words behind the named ones begin. */
export function endOfArguments(names: ArgumentNames, address: I32): I32 {
  return address.add(4 * names.length);
}

/** An integer; 32 bits of it are kept. */
export function integerArgument(value: number): LaunchArgument {
  return { kind: "int", value: value | 0 };
}

/** A float32. */
export function floatArgument(value: number): LaunchArgument {
  return { kind: "float", value };
}

/** The address of the first element of an operand. */
export function addressOf(operand: Operand): LaunchArgument {
  const offset = operand.offset * bytesPerElement(operand.dtype);
  return { kind: "buffer", buffer: operand.buffer, offset };
}

/** The address of a buffer, `offset` bytes in. */
export function addressOfBuffer(buffer: number, offset = 0): LaunchArgument {
  return { kind: "buffer", buffer, offset };
}

/** What an argument word holds; a plain number is an integer. */
export type Word = LaunchArgument | number;

/** A launch of code on words; its buffers are those that the words name. */
export function launchOf(
  name: string,
  code: KernelCode,
  words: readonly Word[],
  items: number,
  work: number,
  grain = 1,
  scratchBytes = 0,
): Launch {
  const list = words.map((word) => (typeof word === "number" ? integerArgument(word) : word));
  return {
    name,
    code,
    arguments: list,
    items,
    grain: Math.max(1, Math.floor(grain)),
    scratchBytes,
    reads: list.flatMap((word) => (word.kind === "buffer" ? word.buffer : [])),
    writes: [],
    work,
  };
}

/** The address of a buffer that may be absent. */
export function addressOrNone(buffer: number | null | undefined): Word {
  return buffer === null || buffer === undefined ? 0 : addressOfBuffer(buffer);
}

/**
 * The words of an operand of `rank` axes: its address, then the bytes from one element to the next
 * along each axis. Axes it does not have, and those of size 1, have stride 0; so has what is absent.
 */
export function viewWords(operand: Operand | null, rank: number): Word[] {
  if (operand === null) return new Array<number>(rank + 1).fill(0);
  const { shape, strides, dtype } = operand;
  const bytes = strides.map((stride, d) => (shape[d] === 1 ? 0 : stride * bytesPerElement(dtype)));
  return [addressOf(operand), ...new Array<number>(rank - shape.length).fill(0), ...bytes];
}

/** An operand in the code of a kernel. */
export class View {
  readonly #address: I32;
  /** Bytes from one element to the next along each axis. */
  readonly strides: readonly Local<I32>[];

  constructor([address, ...strides]: readonly Local<I32>[]) {
    this.#address = address!;
    this.strides = strides;
  }

  /** The address of the element at a position; coordinates that are left out are 0. */
  at(...position: readonly I32[]): I32 {
    return position.reduce<I32>(
      (address, coordinate, d) => address.add(coordinate.multiply(this.strides[d]!)),
      this.#address,
    );
  }
}

/** Reads argument words one after the other, in the order in which the launch lists them. */
export class WordReader {
  readonly #f: FunctionBuilder;
  /** The address of the next word. */
  address: I32;

  constructor(f: FunctionBuilder, address: I32) {
    this.#f = f;
    this.address = address;
  }

  /** The next words, in locals. */
  words<N extends number>(count: N): Repeat<Local<I32>, N> {
    const words = Array.from({ length: count }, (_, i) =>
      this.#f.let(i32.load(this.address, 4 * i)),
    );
    this.address = this.address.add(4 * count);
    return words as Repeat<Local<I32>, N>;
  }

  /** The next operand. */
  view(rank: number): View {
    return new View(this.words(rank + 1));
  }
}
