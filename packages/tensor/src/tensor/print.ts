/** Tensors as text. */

import type { DType } from "./dtype.js";
import { formatShape, sizeOf, type Shape } from "./shape.js";

/** Elements shown at each end of an axis that is shortened. */
const edge = 3;
/** Tensors of up to this many elements are shown whole. */
const whole = 1000;

function formatNumber(value: number, dtype: DType): string {
  if (dtype === "bool") return value === 0 ? "false" : "true";
  if (dtype !== "float32" && dtype !== "float16") return String(value);
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  if (magnitude >= 1e6 || magnitude < 1e-4) return value.toExponential(3);
  return String(Number(value.toPrecision(5)));
}

/** `float32 [2, 2]` followed by the rows, long axes shortened. */
export function formatElements(shape: Shape, dtype: DType, elements: ArrayLike<number>): string {
  const shorten = sizeOf(shape) > whole;
  const build = (depth: number, start: number, stride: number): string => {
    if (depth === shape.length) return formatNumber(elements[start]!, dtype);
    const n = shape[depth]!;
    const inner = n === 0 ? 0 : stride / n;
    const parts: string[] = [];
    for (let i = 0; i < n; i++) {
      if (shorten && n > 2 * edge && i === edge) {
        parts.push("…");
        i = n - edge;
      }
      parts.push(build(depth + 1, start + i * inner, inner));
    }
    const isLast = depth === shape.length - 1;
    const separator = isLast ? ", " : `,\n${" ".repeat(depth + 1)}`;
    return `[${parts.join(separator)}]`;
  };
  return `${dtype} ${formatShape(shape)}\n${build(0, 0, sizeOf(shape))}`;
}
