/** Where an element of a view lies. */

import type { Operand } from "@x/tensor/device";

/** `offset + Σ coordinates[i] · stride[i]` as an expression; coordinates are expressions of type `i32`. */
export function indexIn(
  { offset, strides, shape }: Operand,
  coordinates: readonly string[],
): string {
  const terms = coordinates.flatMap((coordinate, axis) => {
    const stride = shape[axis] === 1 ? 0 : strides[axis]!;
    if (stride === 0) return [];
    return [stride === 1 ? `(${coordinate})` : `(${coordinate}) * ${stride}`];
  });
  if (offset !== 0 || terms.length === 0) terms.push(String(offset));
  return terms.join(" + ");
}

/**
 * Statements that take the row-major position `position` of `shape` apart into coordinates named
 * `prefix0`, `prefix1`, …
 */
export function coordinatesOf(position: string, shape: readonly number[], prefix: string): string {
  const lines: string[] = [];
  let rest = position;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (axis === 0) lines.push(`let ${prefix}0 = ${rest};`);
    else {
      lines.push(`let ${prefix}${axis} = (${rest}) % ${shape[axis]};`);
      rest = `(${rest}) / ${shape[axis]}`;
    }
  }
  return lines.join("\n");
}
