/** Cases of the gradient tests: a function and where to differentiate it. */

import { reference } from "../../src/reference/device.js";
import { fromData } from "../../src/tensor/creation.js";
import type { Shape } from "../../src/tensor/shape.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { randomNumbers, type Differentiable } from "../../src/testing/index.js";

/** A function to differentiate, at a point away from its kinks. */
export interface GradientCase {
  readonly name: string;
  readonly f: Differentiable;
  readonly inputs: readonly Tensor[];
}

let seed = 1;
const device = reference();

function filled(shape: Shape, element: (draw: () => number) => number): Tensor {
  const draw = randomNumbers(seed++);
  const size = shape.reduce((product, n) => product * n, 1);
  return fromData(
    Float32Array.from({ length: size }, () => element(draw)),
    shape,
    { device },
  );
}

/** Random elements between `low` and `high`. */
export function uniform(shape: Shape, low = -1.5, high = 1.5): Tensor {
  return filled(shape, (draw) => low + (high - low) * draw());
}

/** Random elements of either sign at least 0.3 away from 0. */
export function awayFromZero(shape: Shape): Tensor {
  return filled(shape, (draw) => (draw() < 0.5 ? -1 : 1) * (0.3 + 1.5 * draw()));
}

/** Elements in random order that are at least 0.1 apart, so that no step changes their order. */
export function distinct(shape: Shape): Tensor {
  const draw = randomNumbers(seed++);
  const size = shape.reduce((product, n) => product * n, 1);
  const elements = Float32Array.from({ length: size }, (_, i) => (i - size / 2) * 0.17 + 0.05);
  for (let i = size - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [elements[i], elements[j]] = [elements[j]!, elements[i]!];
  }
  return fromData(elements, shape, { device });
}

/** Random integers from 0 to `limit` − 1. */
export function indices(shape: Shape, limit: number): Tensor {
  const draw = randomNumbers(seed++);
  const size = shape.reduce((product, n) => product * n, 1);
  const elements = Int32Array.from({ length: size }, () => Math.floor(draw() * limit));
  return fromData(elements, shape, { device });
}

/** Random booleans. */
export function booleans(shape: Shape): Tensor {
  const draw = randomNumbers(seed++);
  const size = shape.reduce((product, n) => product * n, 1);
  const elements = Uint8Array.from({ length: size }, () => Number(draw() < 0.6));
  return fromData(elements, shape, { dtype: "bool", device });
}
