/**
 * Keys: unsigned integers in the order in which elements are to come, so that one way of sorting
 * serves every type and both directions.
 *
 * Equal elements have equal keys (zeros of both signs too), and NaN has the largest one of all.
 * Turning the bits over turns the order around and leaves equal keys equal, so sorting stays stable.
 */

import type { DType } from "../../../tensor/dtype.js";
import { type FunctionBuilder, i32, type I32, type Local } from "../../assembler/index.js";

/** What decides how keys are made; part of a code's identity. */
export interface KeyForm {
  readonly kind: "float" | "signed" | "unsigned";
  readonly descending: boolean;
}

/** The form for elements of a type. */
export function keyFormOf(dtype: DType, descending: boolean): KeyForm {
  const kind = dtype === "float32" ? "float" : dtype === "uint32" ? "unsigned" : "signed";
  return { kind, descending };
}

/** A text for the form. */
export function keyFormText({ kind, descending }: KeyForm): string {
  return `${kind}/${descending ? "descending" : "ascending"}`;
}

const signBit = -0x80000000;

/** Reads an element as a key. */
export function readKey(f: FunctionBuilder, form: KeyForm, address: I32): Local<I32> {
  const key = f.let(i32.load(address));
  if (form.kind === "signed") f.set<I32>(key, key.xor(signBit));
  else if (form.kind === "float") {
    const magnitude = f.let(key.and(0x7fffffff));
    const isNaN = magnitude.greater(0x7f800000);
    // Negative numbers are turned over, the others come above them; -0 is taken as 0.
    const ordered = key.xor(key.shiftRight(31).or(signBit));
    const number = magnitude.isZero().select<I32>(i32.const(signBit), ordered);
    f.set<I32>(key, isNaN.select<I32>(i32.const(-1), number));
  }
  if (form.descending) f.set<I32>(key, key.xor(-1));
  return key;
}
