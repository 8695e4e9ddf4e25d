/** Joining tensors along an axis. */

import { check } from "../error.js";
import { applyOne, makeOp, type Value } from "../graph/node.js";
import { promote } from "../tensor/dtype.js";
import { formatShape, sameShape } from "../tensor/shape.js";
import { cast } from "./elementwise.js";
import { narrow, reshape } from "./movement.js";

/** Any number of inputs with equal sizes except along `axis`. */
const concatenateOp = makeOp({
  name: "concatenate",
  kind: "kernel",
  infer: (inputs, { axis }) => {
    const shape = [...inputs[0]!.shape];
    for (let i = 1; i < inputs.length; i++) {
      shape[axis as number]! += inputs[i]!.shape[axis as number]!;
    }
    return [{ shape, dtype: inputs[0]!.dtype }];
  },
  gradient: (node, [g], needed) => {
    const axis = node.attributes.axis as number;
    let start = 0;
    return node.inputs.map((input, i) => {
      const length = input.shape[axis]!;
      start += length;
      return needed[i] === true ? narrow(g!, axis, start - length, length) : null;
    });
  },
});

/** The tensors one after the other along `axis`. */
export function concatenate(inputs: readonly Value[], axis: number): Value {
  const first = inputs[0]!;
  let dtype = first.dtype;
  for (const input of inputs) {
    const fits =
      input.shape.length === first.shape.length &&
      input.shape.every((n, i) => i === axis || n === first.shape[i]);
    check(
      fits,
      "shape",
      () =>
        `concatenate: sizes must be equal except along axis ${axis}, got ${formatShape(first.shape)} and ${formatShape(input.shape)}. Reshape or pad them.`,
    );
    if (input.dtype !== dtype) dtype = promote(dtype, input.dtype);
  }
  if (inputs.length === 1) return first;
  return applyOne(
    concatenateOp,
    inputs.map((input) => cast(input, dtype)),
    { axis },
  );
}

/** The tensors, all of one shape, along a new axis. */
export function stack(inputs: readonly Value[], axis: number): Value {
  const first = inputs[0]!;
  for (const input of inputs) {
    check(
      sameShape(input.shape, first.shape),
      "shape",
      () =>
        `stack: all tensors must have one shape, got ${formatShape(first.shape)} and ${formatShape(input.shape)}. Use cat() or reshape them.`,
    );
  }
  const shape = first.shape.toSpliced(axis, 0, 1);
  return concatenate(
    inputs.map((input) => reshape(input, shape)),
    axis,
  );
}
