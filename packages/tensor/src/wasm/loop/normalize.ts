/**
 * Loop kernels in a simpler form: without dead expressions and loops of one turn, loops in the
 * order of memory, neighbouring loops that walk on together merged into one. Kernels that do the
 * same come out the same, so that they share code.
 */

import type { Affine, Expression, LoopKernel } from "../../plan/loop.js";
import { bytesPerElement } from "../../tensor/dtype.js";
import { stridesOf } from "../../tensor/shape.js";

/** A normalised kernel. */
export interface NormalKernel extends LoopKernel {
  /** For arg reducers: the position in the reduced elements that is reported. */
  readonly position: Affine | null;
}

/** The expression with its affine functions and the positions of its operands changed. */
function mapExpression(
  e: Expression,
  affine: (affine: Affine) => Affine,
  operand: (position: number) => number,
): Expression {
  switch (e.kind) {
    case "load":
      return {
        ...e,
        index: affine(e.index),
        ...(e.guard === undefined ? {} : { guard: operand(e.guard) }),
      };
    case "index":
      return { ...e, index: affine(e.index) };
    case "inside":
      return {
        ...e,
        conditions: e.conditions.map(({ index, size }) => ({ index: affine(index), size })),
      };
    case "apply":
      return { ...e, operands: e.operands.map(operand) };
    default:
      return e;
  }
}

const same = <T>(value: T): T => value;

/** The affine functions an expression contains. */
export function affinesOf(e: Expression): readonly Affine[] {
  const found: Affine[] = [];
  mapExpression(e, (affine) => (found.push(affine), affine), same);
  return found;
}

/** The expressions an expression needs. */
export function operandsOf(e: Expression): readonly number[] {
  const found: number[] = [];
  mapExpression(e, same, (position) => (found.push(position), position));
  return found;
}

// Keeps what the roots need, and gives the new positions.
function withoutDead(
  list: readonly Expression[],
  roots: readonly number[],
): readonly [list: Expression[], positions: ReadonlyMap<number, number>] {
  const needed = new Set(roots);
  for (let i = list.length - 1; i >= 0; i--) {
    if (needed.has(i)) for (const operand of operandsOf(list[i]!)) needed.add(operand);
  }
  const positions = new Map([...needed].sort((a, b) => a - b).map((old, i) => [old, i]));
  const kept = list.filter((_, i) => needed.has(i));
  return [kept.map((e) => mapExpression(e, same, (old) => positions.get(old)!)), positions];
}

/** The kernel over other loops: `change` gives the strides along them. */
export function withLoops(
  kernel: NormalKernel,
  extents: readonly number[],
  outputRank: number,
  change: (strides: readonly number[]) => readonly number[],
): NormalKernel {
  const affine = ({ offset, strides }: Affine): Affine => ({ offset, strides: change(strides) });
  const map = (e: Expression): Expression => mapExpression(e, affine, same);
  return {
    ...kernel,
    extents,
    outputRank,
    body: kernel.body.map(map),
    epilogue: kernel.epilogue.map(map),
    stores: kernel.stores.map((store) => ({ ...store, index: affine(store.index) })),
    position: kernel.position && affine(kernel.position),
  };
}

/** The kernel with its loops in another order, or without some: `order` lists those that stay. */
export function reordered(kernel: NormalKernel, order: readonly number[]): NormalKernel {
  const { extents, outputRank } = kernel;
  const inOrder = (values: readonly number[]): number[] => order.map((loop) => values[loop]!);
  const outputs = order.filter((loop) => loop < outputRank).length;
  return withLoops(kernel, inOrder(extents), outputs, inOrder);
}

// Merges loop `outer + 1` into loop `outer` wherever all affine functions walk on evenly.
function merged(kernel: NormalKernel): NormalKernel {
  for (let outer = kernel.extents.length - 2; outer >= 0; outer--) {
    const { extents, outputRank, body, epilogue, stores, position } = kernel;
    const size = extents[outer + 1]!;
    const affines = [
      ...[...body, ...epilogue].flatMap(affinesOf),
      ...stores.map(({ index }) => index),
      ...(position ? [position] : []),
    ];
    const isEven = affines.every(({ strides }) => strides[outer] === strides[outer + 1]! * size);
    if (!isEven || outer === outputRank - 1) continue;
    const without = (values: readonly number[]): number[] =>
      values.filter((_, loop) => loop !== outer);
    const joined = without(extents);
    joined[outer]! *= extents[outer]!;
    kernel = withLoops(kernel, joined, outputRank - Number(outer < outputRank), without);
  }
  return kernel;
}

// How far a loop moves in memory: by its stores, or by its loads where it is reduced.
function reach({ outputRank, stores, body }: NormalKernel, loop: number): number {
  const isOutput = loop < outputRank;
  const accesses = isOutput ? stores : body.filter((e) => e.kind === "load");
  const moves = accesses.map(
    ({ index, stored }) => Math.abs(index.strides[loop]!) * bytesPerElement(stored),
  );
  return isOutput ? Math.max(...moves) : moves.reduce((a, b) => a + b, 0);
}

/** The simpler form of a kernel. */
export function normalize(kernel: LoopKernel): NormalKernel {
  const { extents, outputRank, reducer, stores } = kernel;
  const isArg = reducer === "argmax" || reducer === "argmin";
  const results = stores.map((store) => store.expression);
  const [body, bodyPositions] = withoutDead(
    kernel.body,
    reducer ? [kernel.body.length - 1] : results,
  );
  const [epilogue, epiloguePositions] = withoutDead(kernel.epilogue, reducer ? results : []);
  const positions = reducer ? epiloguePositions : bodyPositions;
  const places = stridesOf(extents).map((stride, loop) => (loop < outputRank ? 0 : stride));
  const simple: NormalKernel = {
    ...kernel,
    body,
    epilogue,
    stores: stores.map((store) => ({ ...store, expression: positions.get(store.expression)! })),
    position: isArg ? { offset: 0, strides: places } : null,
  };
  const turning = [...extents.keys()].filter((loop) => extents[loop]! > 1);
  const byReach = (a: number, b: number): number => reach(simple, b) - reach(simple, a);
  const outputs = turning.filter((loop) => loop < outputRank).sort(byReach);
  const reduced = turning.filter((loop) => loop >= outputRank);
  // Of equal extremes the first counts, so the arg reducers keep the order.
  if (!isArg) reduced.sort(byReach);
  return merged(reordered(simple, [...outputs, ...reduced]));
}
