/**
 * Argument words of kernels, by name: `lower` says what each holds, the emitted code reads them.
 *
 * A kernel lists the names once. Lists of varying length (loops of any rank) come behind the named
 * words.
 */

import type { Operand } from "../../plan/schedule.js";
import { bytesPerElement } from "../../tensor/dtype.js";
import { type FunctionBuilder, i32, type I32, type Local } from "../assembler/index.js";
import type { LaunchArgument } from "../launch.js";

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

/** Reads all words into locals. */
export function readArguments<const N extends ArgumentNames>(
  f: FunctionBuilder,
  address: I32,
  names: N,
): Record<N[number], Local<I32>> {
  const entries = names.map((name, i) => [name, f.let(i32.load(address, 4 * i))] as const);
  return Object.fromEntries(entries) as Record<N[number], Local<I32>>;
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
