/** Small float32 tensors that share one plan buffer, since a shader can bind few. */

import type { Operand } from "@x/tensor/device";
import type { LoweringContext } from "../../native.js";
import { denseView, product } from "../view.js";

/** One dense tensor for each shape. */
export function layOut<Name extends string>(
  shapes: Readonly<Record<Name, readonly number[]>>,
  context: LoweringContext,
): Readonly<Record<Name, Operand>> {
  const entries = Object.entries(shapes) as [Name, readonly number[]][];
  let size = 0;
  const offsets = entries.map(([, shape]) => {
    const offset = size;
    size += product(shape);
    return offset;
  });
  const buffer = context.workspace(4 * Math.max(size, 1));
  const views = entries.map(([name, shape], i) => {
    return [name, { ...denseView(buffer, "float32", shape), offset: offsets[i]! }] as const;
  });
  return Object.fromEntries(views) as Record<Name, Operand>;
}
