/** Numbers of the matrices in registers, whatever type they are kept in: always float32 there. */

import { bytesPerElement, type DType } from "../../../tensor/dtype.js";
import type { I32, V128 } from "../../assembler/index.js";
import { castLanes, loadLanes, loadVector } from "../../loop/storage.js";
import type { MathContext } from "../../math/index.js";

/** Four neighbours. */
export function loadFour(c: MathContext, dtype: DType, address: I32, offset = 0): V128 {
  return castLanes(c, loadVector(c, dtype, address, offset), dtype, "float32");
}

/** The first `count` neighbours, zeros above; nothing else is read. */
export function loadSome(
  c: MathContext,
  dtype: DType,
  address: I32,
  offset: number,
  count: number,
): V128 {
  const bits = loadLanes(c, dtype, address, offset, bytesPerElement(dtype), (1 << count) - 1);
  return castLanes(c, bits, dtype, "float32");
}

/** One number, zeros above. */
export function loadOne(c: MathContext, dtype: DType, address: I32, offset = 0): V128 {
  return loadSome(c, dtype, address, offset, 1);
}
