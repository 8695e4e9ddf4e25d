/** Checks of what modules are configured with. */

import { check } from "../error.js";
import { formatShape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";

/** Checks that the last axis of `x` has the size that a module was made for. */
export function checkLastAxis(owner: string, name: string, x: Tensor, size: number): void {
  check(
    x.shape.at(-1) === size,
    "shape",
    () =>
      `${owner}: the last axis of the ${name} must be ${size}, got ${formatShape(x.shape)}. Reshape it, or make the module for that size.`,
  );
}
