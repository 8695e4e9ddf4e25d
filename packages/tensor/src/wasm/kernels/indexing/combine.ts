/** What scattering does with an element that is there already. */

import type { DType } from "../../../tensor/dtype.js";
import { bytesPerElement } from "../../../tensor/dtype.js";
import {
  f32,
  f32x4,
  type FunctionBuilder,
  i32,
  type I32,
  i32x4,
  v128,
} from "../../assembler/index.js";
import { copyElement } from "../move/block.js";

/** How a source element joins the element at its place; each is a code of its own. */
export type Combine = "replace8" | "replace16" | "replace32" | "addFloat" | "addInteger" | "or";

/** Replacing elements of a type. */
export function replaceOf(dtype: DType): Combine {
  return ({ 1: "replace8", 2: "replace16", 4: "replace32" } as const)[
    bytesPerElement(dtype) as 1 | 2 | 4
  ];
}

/** Adding elements of a type; the sum of bools is whether any is true. */
export function addOf(dtype: DType): Combine {
  if (dtype === "bool") return "or";
  return dtype === "float32" ? "addFloat" : "addInteger";
}

/** Bytes of the elements. */
export function combineBytes(combine: Combine): 1 | 2 | 4 {
  if (combine === "replace16") return 2;
  return combine === "replace8" || combine === "or" ? 1 : 4;
}

/** Joins the element at `from` to the one at `to`, a local. */
export function combineElement(f: FunctionBuilder, combine: Combine, to: I32, from: I32): void {
  switch (combine) {
    case "addFloat":
      f.storeF32(to, f32.load(to).add(f32.load(from)));
      break;
    case "addInteger":
      f.storeI32(to, i32.load(to).add(i32.load(from)));
      break;
    case "or":
      f.storeI8(to, i32.load8Unsigned(to).or(i32.load8Unsigned(from)));
      break;
    default:
      copyElement(f, to, from, combineBytes(combine));
  }
}

/** The same for the sixteen bytes at `offset` from both; only for what adds. */
export function combineVector(
  f: FunctionBuilder,
  combine: Combine,
  to: I32,
  from: I32,
  offset: number,
): void {
  const [a, b] = [v128.load(to, offset), v128.load(from, offset)];
  const sum =
    combine === "addFloat" ? f32x4.add(a, b) : combine === "or" ? a.or(b) : i32x4.add(a, b);
  f.storeV128(to, sum, offset);
}
