/** Instructions of random programs that move, index and join elements. */

import type { Value } from "../../src/graph/node.js";
import { add } from "../../src/ops/elementwise.js";
import * as indexing from "../../src/ops/indexing.js";
import { concatenate, stack } from "../../src/ops/join.js";
import { constant, iota, scalar } from "../../src/ops/leaf.js";
import * as movement from "../../src/ops/movement.js";
import { sizeOf } from "../../src/tensor/shape.js";
import type { Instruction } from "./program.js";
import type { Picker } from "./picker.js";

const hasAxes = (value: Value): boolean => value.shape.length > 0;
const hasRoom = (value: Value): boolean => sizeOf(value.shape) <= 512;
const isFilled = (value: Value): boolean => hasAxes(value) && sizeOf(value.shape) > 0;

function reshaped(pick: Picker, x: Value): Value {
  const shape = [...x.shape];
  const kind = pick.below(4);
  const axis = pick.axis(x);
  if (kind === 0 || shape.length === 0) return movement.reshape(x, [...shape, 1]);
  if (kind === 1) return movement.reshape(x, [sizeOf(shape)]);
  const n = shape[axis]!;
  if (kind === 2) {
    const divisors = [1, 2, 3, 5, n].filter((d) => d > 0 && n % d === 0);
    const divisor = divisors.length > 0 ? pick.one(divisors) : 1;
    shape.splice(axis, 1, n / divisor, divisor);
    return movement.reshape(x, shape);
  }
  if (axis + 1 < shape.length) shape.splice(axis, 2, n * shape[axis + 1]!);
  return movement.reshape(x, shape);
}

function permuted(pick: Picker, x: Value): Value {
  const left = x.shape.map((_, axis) => axis);
  const axes: number[] = [];
  while (left.length > 0) axes.push(...left.splice(pick.below(left.length), 1));
  return movement.permute(x, axes);
}

function sliced(pick: Picker, x: Value): Value {
  const steps = x.shape.map(() => pick.between(1, 3));
  const starts = x.shape.map((n) => pick.below(Math.max(n, 1)));
  const shape = x.shape.map((n, d) => {
    const most = Math.ceil((n - starts[d]!) / steps[d]!);
    return most <= 0 ? 0 : most - pick.below(2) * pick.below(most);
  });
  return movement.slice(x, starts, shape, steps);
}

function expanded(pick: Picker, x: Value): Value {
  const shape = x.shape.map((n) => (n === 1 ? pick.between(0, 4) : n));
  return movement.expand(x, pick.flip() ? [pick.between(1, 3), ...shape] : shape);
}

function windowed(pick: Picker, x: Value): Value | null {
  const axis = pick.axis(x);
  const n = x.shape[axis]!;
  const size = pick.between(1, 3);
  const dilation = pick.between(1, 2);
  if ((size - 1) * dilation + 1 > n) return null;
  return movement.window(x, axis, size, pick.between(1, 3), dilation);
}

const ofOne =
  (
    fits: (value: Value) => boolean,
    compute: (pick: Picker, x: Value) => Value | null,
  ): Instruction =>
  (pick) => {
    const x = pick.value(fits);
    return x && compute(pick, x);
  };

function joined(pick: Picker): Value | null {
  const a = pick.value((value) => hasAxes(value) && hasRoom(value));
  if (a === null) return null;
  const axis = pick.axis(a);
  const alike = pick.value(
    (value) =>
      value.dtype === a.dtype &&
      value.shape.length === a.shape.length &&
      value.shape.every((n, d) => d === axis || n === a.shape[d]),
  )!;
  const parts = pick.flip() ? [a, alike] : [alike, a, alike];
  return concatenate(parts, axis);
}

/** A source for scattering: values of the right shape, made from `x`. */
function sourceFor(x: Value, shape: readonly number[]): Value {
  const size = sizeOf(shape);
  const flat = movement.reshape(x, [sizeOf(x.shape)]);
  const positions = movement.reshape(iota(size), [size]);
  return movement.reshape(indexing.take(flat, 0, positions), shape);
}

/** Indices along `axis` that name every place at most once: the rows rotated. */
function distinctIndices(pick: Picker, x: Value, axis: number): Value {
  const n = x.shape[axis]!;
  const rotated = Array.from({ length: x.shape.length }, (_, d) => (d === axis ? n : 1));
  const start = pick.below(n);
  const order = concatenate(
    [movement.narrow(iota(n), 0, start, n - start), movement.narrow(iota(n), 0, 0, start)],
    0,
  );
  return movement.expand(movement.reshape(order, rotated), x.shape);
}

export const structureInstructions: Readonly<Record<string, Instruction>> = {
  reshape: ofOne(() => true, reshaped),
  permute: ofOne(hasAxes, permuted),
  slice: ofOne(hasAxes, sliced),
  expand: ofOne(hasRoom, expanded),
  pad: ofOne(hasRoom, (pick, x) =>
    movement.pad(
      x,
      x.shape.map(() => pick.below(3)),
      x.shape.map(() => pick.below(2)),
    ),
  ),
  flip: ofOne(hasAxes, (pick, x) => movement.flip(x, pick.axes(x))),
  window: ofOne((value) => hasAxes(value) && hasRoom(value), windowed),
  diagonal: ofOne(
    (value) => value.shape.length >= 2,
    (_, x) => movement.diagonal(x),
  ),
  concatenate: joined,
  stack: ofOne(hasRoom, (pick, x) => stack([x, x], pick.below(x.shape.length + 1))),
  take: ofOne(isFilled, (pick, x) => {
    const axis = pick.axis(x);
    if (sizeOf(x.shape) > 256) return null;
    return indexing.take(x, axis, pick.indices([pick.between(0, 4), 2], x.shape[axis]!));
  }),
  gather: ofOne(isFilled, (pick, x) => {
    const axis = pick.axis(x);
    const shape = x.shape.map((n, d) => (d === axis ? pick.between(1, 6) : n - pick.below(n)));
    return indexing.gather(x, axis, pick.indices(shape, x.shape[axis]!));
  }),
  scatter: ofOne(isFilled, (pick, x) => {
    const axis = pick.axis(x);
    return indexing.scatter(x, axis, distinctIndices(pick, x, axis), add(x, x));
  }),
  scatterAdd: ofOne(isFilled, (pick, x) => {
    const axis = pick.axis(x);
    const shape = x.shape.map((n, d) => (d === axis ? Math.min(n, pick.between(1, 6)) : n));
    const index = pick.indices(shape, x.shape[axis]!);
    return indexing.scatterAdd(
      x,
      axis,
      index,
      movement.slice(
        x,
        shape.map(() => 0),
        shape,
        null,
      ),
    );
  }),
  indexAdd: ofOne(
    (value) => isFilled(value) && value.dtype === "float32",
    (pick, x) => {
      const axis = pick.axis(x);
      const count = pick.between(0, 5);
      const shape = [...x.shape.slice(0, axis), count, ...x.shape.slice(axis + 1)];
      const index = pick.indices([count], x.shape[axis]!);
      const full = movement.expand(constant(0.5), shape);
      return indexing.indexAdd(x, axis, index, full);
    },
  ),
  dynamicSlice: ofOne(isFilled, (pick, x) => {
    const axis = pick.axis(x);
    const start = scalar(pick.below(12) - 3, "int32");
    return indexing.dynamicSlice(x, axis, start, pick.below(x.shape[axis]! + 1));
  }),
  dynamicUpdate: ofOne(isFilled, (pick, x) => {
    const axis = pick.axis(x);
    const start = scalar(pick.below(12) - 3, "int32");
    const shape = x.shape.map((n, d) => (d === axis ? pick.below(n + 1) : n));
    return indexing.dynamicUpdate(x, axis, sourceFor(x, shape), start);
  }),
  oneHot: (pick) => {
    const classes = pick.between(1, 5);
    return indexing.oneHot(pick.indices([pick.between(1, 4)], classes), classes);
  },
};
