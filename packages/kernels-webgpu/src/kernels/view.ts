/** Where an element of a view lies. */

import type { DType } from "@x/tensor";
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

/** The dense view of a whole buffer. */
export function denseView(buffer: number, dtype: DType, shape: readonly number[]): Operand {
  const strides = shape.map((_, axis) => product(shape.slice(axis + 1)));
  return { buffer, dtype, shape, strides, offset: 0 };
}

/** The number of elements of a shape. */
export function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** The rows of a shape along one of its axes. */
export class Rows {
  /** Number of rows. */
  readonly count: number;
  /** Elements of each. */
  readonly size: number;
  readonly #axis: number;
  readonly #shape: readonly number[];

  constructor(shape: readonly number[], axis: number) {
    this.#axis = axis;
    this.#shape = shape.toSpliced(axis, 1);
    this.size = shape[axis]!;
    this.count = product(this.#shape);
  }

  /** Statements that say where row `row` is. */
  coordinates(row: string): string {
    return coordinatesOf(row, this.#shape, "r");
  }

  /** Where element `place` of that row is in `operand`. */
  at(operand: Operand, place: string): string {
    const across = this.#shape.map((_, axis) => `r${axis}`);
    return indexIn(operand, across.toSpliced(this.#axis, 0, place));
  }
}
