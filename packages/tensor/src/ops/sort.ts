/** Sorting and the largest elements. */

import { check } from "../error.js";
import { apply, makeOp, type GradientRule, type Value } from "../graph/node.js";
import { computeType } from "../tensor/dtype.js";
import { cast } from "./elementwise.js";
import { scatter } from "./indexing.js";
import { constant } from "./leaf.js";
import { full, narrow } from "./movement.js";

/** Every cotangent goes back to the place its element came from. */
const permutationGradient: GradientRule = (node, [g]) => {
  if (!g) return [null];
  const zeros = full(node.inputs[0]!.shape, 0, "float32");
  return [scatter(zeros, node.attributes.axis as number, node.outputs[1]!, g)];
};

/** Stable; NaN counts as larger than every number. */
const sortOp = makeOp({
  name: "sort",
  kind: "kernel",
  infer: ([x]) => [
    { shape: x!.shape, dtype: x!.dtype },
    { shape: x!.shape, dtype: "int32" },
  ],
  gradient: permutationGradient,
});

const topkOp = makeOp({
  name: "topk",
  kind: "primitive",
  infer: ([x], { axis, k }) => {
    const shape = x!.shape.with(axis as number, k as number);
    return [
      { shape, dtype: x!.dtype },
      { shape, dtype: "int32" },
    ];
  },
  compose: ([x], attributes) => {
    const { axis, k } = attributes as Record<string, number>;
    return sort(x!, axis!, attributes.largest === true).map((part) => narrow(part, axis!, 0, k!));
  },
  gradient: permutationGradient,
});

function sortable(x: Value): Value {
  return cast(x, x.dtype === "bool" ? "int32" : computeType(x.dtype));
}

/** The elements along `axis` in order, and the positions they came from; stable. */
export function sort(x: Value, axis: number, descending: boolean): readonly [Value, Value] {
  if (x.shape.length === 0) return [sortable(x), constant(0, "int32")];
  const [values, indices] = apply(sortOp, [sortable(x)], { axis, descending });
  return [values!, indices!];
}

/** The `k` largest (or smallest) elements along `axis` in order, and their positions. */
export function topk(x: Value, k: number, axis: number, largest: boolean): readonly [Value, Value] {
  const n = x.shape[axis] ?? 1;
  check(
    Number.isInteger(k) && k >= 0 && k <= n,
    "argument",
    () => `topk: k must lie between 0 and ${n}, got ${k}. Ask for at most all elements.`,
  );
  if (x.shape.length === 0) return [sortable(x), constant(0, "int32")];
  const [values, indices] = apply(topkOp, [sortable(x)], { axis, k, largest });
  return [values!, indices!];
}
