/** What the operations of area `ops` have in common. */

import type { Tensor } from "@x/tensor";
import type { Results, Subject } from "../subject.js";

/** Computes one operation; `key` is its name in the file, e.g. `sum_3`. */
export type Operation = (subject: Subject, key: string) => Results | Promise<Results>;

/** Operations by name. */
export type Operations = Readonly<Record<string, Operation>>;

/** An operation with input `x` and output `y`. */
export function ofOne(compute: (x: Tensor, subject: Subject) => Tensor): Operation {
  return (subject) => ({ outputs: { y: compute(subject.input("x"), subject) } });
}

/** An operation with inputs `a` and `b` and output `y`. */
export function ofTwo(compute: (a: Tensor, b: Tensor) => Tensor): Operation {
  return (subject) => ({ outputs: { y: compute(subject.input("a"), subject.input("b")) } });
}

/**
 * The axis along which `join` turns `x` into `y`, where the file does not say: by the shapes, and
 * where those leave a choice, by the numbers.
 */
export function axisBetween(
  subject: Subject,
  x: string,
  y: string,
  join: (row: number[]) => number,
): number {
  const from = subject.golden(`input.${x}`);
  const to = subject.golden(`output.${y}`);
  const candidates = from.shape
    .map((_, axis) => axis)
    .filter((axis) => from.shape.filter((_, i) => i !== axis).join() === to.shape.join());
  const fits = (axis: number): boolean => {
    const size = from.shape[axis]!;
    const inner = from.shape.slice(axis + 1).reduce((product, n) => product * n, 1);
    return Array.from(to.data).every((expected, i) => {
      const start = Math.floor(i / inner) * size * inner + (i % inner);
      const row = Array.from({ length: size }, (_, j) => from.data[start + j * inner]!);
      return join(row) === expected;
    });
  };
  const axis = candidates.length > 1 ? candidates.find(fits) : candidates[0];
  if (axis === undefined) {
    throw new Error(`no axis leads from [${from.shape.join()}] to [${to.shape.join()}]`);
  }
  return axis;
}
