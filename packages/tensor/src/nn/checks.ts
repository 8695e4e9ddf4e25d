/** Checks of what modules are given. */

import { check } from "../error.js";
import { formatShape, sameShape } from "../tensor/shape.js";
import type { DType } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import type { AttentionState } from "./attention-mechanism.js";

/** Checks that the last axis of `x` has the size that a module was made for. */
export function checkLastAxis(owner: string, name: string, x: Tensor, size: number): void {
  check(
    x.shape.at(-1) === size,
    "shape",
    () =>
      `${owner}: the last axis of the ${name} must be ${size}, got ${formatShape(x.shape)}. Reshape it, or make the module for that size.`,
  );
}

/** Checks the axes of a tensor, a size or, where any will do, a name for each, and its type. */
export function checkAxes(
  owner: string,
  name: string,
  x: Tensor,
  axes: readonly (number | string)[],
  dtype: DType = x.dtype,
): void {
  check(
    x.dtype === dtype &&
      x.rank === axes.length &&
      x.shape.every((size, axis) => typeof axes[axis] === "string" || axes[axis] === size),
    "shape",
    () =>
      `${owner}: the ${name} must be ${dtype} [${axes.join(", ")}], got ${x.dtype} ${formatShape(x.shape)}. Reshape or cast, or make the module for these sizes.`,
  );
}

/** Checks that a state, which may have come from a file, has what an empty one has. */
export function checkState(owner: string, state: AttentionState, empty: AttentionState): void {
  for (const [name, wanted] of Object.entries(empty)) {
    const tensor = (state as Partial<AttentionState>)[name];
    check(
      tensor !== undefined &&
        sameShape(tensor.shape, wanted.shape) &&
        tensor.dtype === wanted.dtype,
      "shape",
      () =>
        `${owner}: the state must have a tensor ${name}, ${wanted.dtype} ${formatShape(wanted.shape)}, got ${tensor ? `${tensor.dtype} ${formatShape(tensor.shape)}` : "none"}. Make it with initState() for these sizes, with masked: true if masks come with it.`,
    );
  }
}
