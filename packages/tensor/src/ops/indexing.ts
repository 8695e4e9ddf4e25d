/**
 * Indexing by numbers that are themselves data.
 *
 * Kernels clamp indices into range, so no index can read or write out of bounds. Where the index
 * tensor's numbers are at hand when the operation is recorded, a wrong one is an error at once.
 */

import { check } from "../error.js";
import { applyOne, makeOp, type Op, type Spec, type Value } from "../graph/node.js";
import { computeType, isFloat, promote } from "../tensor/dtype.js";
import { formatShape, sameShape, type Shape } from "../tensor/shape.js";
import { cast, equal, where } from "./elementwise.js";
import { constant, iota } from "./leaf.js";
import { expand, full, reshape, slice } from "./movement.js";

function takenShape(x: Shape, axis: number, index: Shape): number[] {
  return x.toSpliced(axis, 1, ...index);
}

/** Inputs x, index (int32, any shape): the axis of `x` is replaced by the axes of `index`. */
const takeOp: Op = makeOp({
  name: "take",
  kind: "kernel",
  infer: ([x, index], { axis }) => [
    { shape: takenShape(x!.shape, axis as number, index!.shape), dtype: x!.dtype },
  ],
  gradient: (node, [g]) => {
    const [x, index] = node.inputs as [Value, Value];
    return [indexAdd(zeros(x), node.attributes.axis as number, index, g!), null];
  },
});

/** Inputs base, index (int32, any shape), source of the shape `take` gives: adds into `base`. */
const indexAddOp: Op = makeOp({
  name: "indexAdd",
  kind: "kernel",
  infer: ([base]) => [base!],
  gradient: (node, [g], [, , needsSource]) => [
    g!,
    null,
    needsSource === true ? take(g!, node.attributes.axis as number, node.inputs[1]!) : null,
  ],
});

/** Inputs x, index of the same rank: along `axis`, the element each index names. */
const gatherOp: Op = makeOp({
  name: "gather",
  kind: "kernel",
  infer: ([x, index]) => [{ shape: index!.shape, dtype: x!.dtype }],
  gradient: (node, [g]) => {
    const [x, index] = node.inputs as [Value, Value];
    return [scatterAdd(zeros(x), node.attributes.axis as number, index, g!), null];
  },
});

/** Inputs base, index, source of the index's shape: elements of `base` replaced by the source's. */
const scatterOp: Op = makeOp({
  name: "scatter",
  kind: "kernel",
  infer: ([base]) => [base!],
  gradient: (node, [g], [needsBase, , needsSource]) => {
    const axis = node.attributes.axis as number;
    const index = node.inputs[1]!;
    const nothing = full(index.shape, 0, "float32");
    return [
      needsBase === true ? scatter(g!, axis, index, nothing) : null,
      null,
      needsSource === true ? gather(g!, axis, index) : null,
    ];
  },
});

/** Inputs base, index, source of the index's shape: the source's elements added into `base`. */
const scatterAddOp: Op = makeOp({
  name: "scatterAdd",
  kind: "kernel",
  infer: ([base]) => [base!],
  gradient: (node, [g], [, , needsSource]) => [
    g!,
    null,
    needsSource === true ? gather(g!, node.attributes.axis as number, node.inputs[1]!) : null,
  ],
});

/** Inputs x, start (int32 scalar): `length` elements from a position known only at run time. */
const dynamicSliceOp: Op = makeOp({
  name: "dynamicSlice",
  kind: "kernel",
  infer: ([x], { axis, length }) => [
    { shape: x!.shape.with(axis as number, length as number), dtype: x!.dtype },
  ],
  gradient: (node, [g]) => {
    const [x, start] = node.inputs as [Value, Value];
    return [dynamicUpdate(zeros(x), node.attributes.axis as number, g!, start), null];
  },
});

/** Inputs x, source, start (int32 scalar): `x` with a window replaced by `source`. */
const dynamicUpdateOp: Op = makeOp({
  name: "dynamicUpdate",
  kind: "kernel",
  infer: ([x]) => [x!],
  inPlace: () => [0],
  gradient: (node, [g], [needsX, needsSource]) => {
    const axis = node.attributes.axis as number;
    const [, source, start] = node.inputs as [Value, Value, Value];
    return [
      needsX === true ? dynamicUpdate(g!, axis, zeros(source), start) : null,
      needsSource === true ? dynamicSlice(g!, axis, start, source.shape[axis]!) : null,
      null,
    ];
  },
});

function zeros(like: Spec): Value {
  return full(like.shape, 0, "float32");
}

/**
 * `index` as int32, after a check that it is whole, and of its numbers where they are at hand: from
 * 0 to `limit` − 1, or `ignored`.
 */
export function checkedIndex(
  op: string,
  index: Value,
  limit: number,
  name: string = "indices",
  ignored?: number,
): Value {
  check(
    index.dtype !== "bool" && !isFloat(index.dtype),
    "dtype",
    () => `${op}: ${name} must be integers, got ${index.dtype}. Cast them to int32.`,
  );
  const wrong = index.storage?.host?.find(
    (number) => (number < 0 || number >= limit) && number !== ignored,
  );
  check(
    wrong === undefined,
    "argument",
    () =>
      `${op}: ${name} must lie between 0 and ${limit - 1}${ignored === undefined ? "" : ` or be ignored (${ignored})`}, got ${wrong}. Correct them.`,
  );
  return cast(index, "int32");
}

/** The elements of `x` at `index` along `axis`; the axes of `index` take the place of `axis`. */
export function take(x: Value, axis: number, index: Value): Value {
  return applyOne(takeOp, [x, checkedIndex("take", index, x.shape[axis]!)], { axis });
}

/** `base` with `source` added at `index` along `axis`; repeated indices add up. */
export function indexAdd(base: Value, axis: number, index: Value, source: Value): Value {
  const expected = takenShape(base.shape, axis, index.shape);
  check(
    sameShape(source.shape, expected),
    "shape",
    () =>
      `indexAdd: the source must have shape ${formatShape(expected)}, got ${formatShape(source.shape)}. Match it to the tensor and the index.`,
  );
  const dtype = promote(base.dtype, source.dtype);
  const checked = checkedIndex("indexAdd", index, base.shape[axis]!);
  return applyOne(indexAddOp, [cast(base, dtype), checked, cast(source, dtype)], { axis });
}

function checkAligned(op: string, x: Value, axis: number, index: Value): void {
  const fits =
    index.shape.length === x.shape.length &&
    index.shape.every((n, i) => i === axis || n <= x.shape[i]!);
  check(
    fits,
    "shape",
    () =>
      `${op}: the index must have the tensor's rank and, except along axis ${axis}, no larger sizes, got index ${formatShape(index.shape)} for ${formatShape(x.shape)}. Reshape or expand the index.`,
  );
}

/** Along `axis`, the element each index names: y[i, j] = x[index[i, j], j] for axis 0. */
export function gather(x: Value, axis: number, index: Value): Value {
  checkAligned("gather", x, axis, index);
  return applyOne(gatherOp, [x, checkedIndex("gather", index, x.shape[axis]!)], { axis });
}

function scatterWith(op: Op, base: Value, axis: number, index: Value, source: Value): Value {
  checkAligned(op.name, base, axis, index);
  const covers =
    source.shape.length === index.shape.length &&
    index.shape.every((n, i) => n <= source.shape[i]!);
  check(
    covers,
    "shape",
    () =>
      `${op.name}: the source must be at least as large as the index on every axis, got ${formatShape(source.shape)} for index ${formatShape(index.shape)}. Reshape or expand the source.`,
  );
  const dtype = base.dtype === source.dtype ? base.dtype : promote(base.dtype, source.dtype);
  const part = slice(
    source,
    source.shape.map(() => 0),
    index.shape,
    null,
  );
  const checked = checkedIndex(op.name, index, base.shape[axis]!);
  return applyOne(op, [cast(base, dtype), checked, cast(part, dtype)], { axis });
}

/** `base` with elements along `axis` replaced; which of several for one place wins is open. */
export function scatter(base: Value, axis: number, index: Value, source: Value): Value {
  return scatterWith(scatterOp, base, axis, index, source);
}

/** `base` with elements added along `axis`; repeated indices add up. */
export function scatterAdd(base: Value, axis: number, index: Value, source: Value): Value {
  const widened = cast(base, computeType(base.dtype));
  return scatterWith(scatterAddOp, widened, axis, index, cast(source, computeType(source.dtype)));
}

function checkedStart(op: string, start: Value): Value {
  check(
    start.shape.length === 0 && (start.dtype === "int32" || start.dtype === "uint32"),
    "argument",
    () =>
      `${op}: the start must be one integer, got ${start.dtype} ${formatShape(start.shape)}. Pass a number or an int32 tensor of shape [].`,
  );
  return cast(start, "int32");
}

/** `length` elements along `axis` from `start`, which is clamped so that the window fits. */
export function dynamicSlice(x: Value, axis: number, start: Value, length: number): Value {
  check(
    Number.isInteger(length) && length >= 0 && length <= x.shape[axis]!,
    "argument",
    () =>
      `dynamicSlice: the length must lie between 0 and ${x.shape[axis]}, got ${length}. Shorten the window.`,
  );
  return applyOne(dynamicSliceOp, [x, checkedStart("dynamicSlice", start)], { axis, length });
}

/** `x` with the window at `start` along `axis` replaced by `source`; `start` is clamped. */
export function dynamicUpdate(x: Value, axis: number, source: Value, start: Value): Value {
  const fits =
    source.shape.length === x.shape.length &&
    source.shape.every((n, i) => (i === axis ? n <= x.shape[i]! : n === x.shape[i]));
  check(
    fits,
    "shape",
    () =>
      `dynamicUpdate: the source must have the tensor's shape, at most shorter along axis ${axis}, got ${formatShape(source.shape)} for ${formatShape(x.shape)}. Reshape or cut the source.`,
  );
  const checked = checkedStart("dynamicUpdate", start);
  return applyOne(dynamicUpdateOp, [x, cast(source, x.dtype), checked], { axis });
}

/** 1 where the index names the class, else 0, along a new last axis; int32. */
export function oneHot(index: Value, classes: number): Value {
  const checked = checkedIndex("oneHot", index, classes);
  const column = expand(reshape(checked, [...index.shape, 1]), [...index.shape, classes]);
  return where(equal(column, iota(classes)), constant(1, "int32"), constant(0, "int32"));
}
