/**
 * Loop kernels in a simpler form: without dead expressions and loops of one turn, loops in the
 * order of memory, neighbouring loops that walk on together merged into one. Kernels that do the
 * same come out the same, so that they share code.
 */

import type { Affine, Expression, LoopKernel, Store } from "../../plan/loop.js";
import { bytesPerElement } from "../../tensor/dtype.js";

/** A normalised kernel. */
export interface NormalKernel extends LoopKernel {
  /** For arg reducers: the position in the reduced elements that is reported. */
  readonly position: Affine | null;
}

/** The affine functions an expression contains. */
export function affinesOf(expression: Expression): readonly Affine[] {
  switch (expression.kind) {
    case "load":
    case "index":
      return [expression.index];
    case "inside":
      return expression.conditions.map((condition) => condition.index);
    default:
      return [];
  }
}

/** The expressions an expression needs. */
export function operandsOf(expression: Expression): readonly number[] {
  if (expression.kind === "apply") return expression.operands;
  if (expression.kind === "load" && expression.guard !== undefined) return [expression.guard];
  return [];
}

// Applies a change of loops to every affine function of an expression.
function mapAffines(expression: Expression, change: (affine: Affine) => Affine): Expression {
  switch (expression.kind) {
    case "load":
    case "index":
      return { ...expression, index: change(expression.index) };
    case "inside":
      return {
        ...expression,
        conditions: expression.conditions.map(({ index, size }) => ({
          index: change(index),
          size,
        })),
      };
    default:
      return expression;
  }
}

// Keeps what the roots need, and gives the new positions.
function withoutDead(
  list: readonly Expression[],
  roots: readonly number[],
): { list: Expression[]; positions: Map<number, number> } {
  const needed = new Set(roots);
  for (let i = list.length - 1; i >= 0; i--) {
    if (needed.has(i)) for (const operand of operandsOf(list[i]!)) needed.add(operand);
  }
  const positions = new Map<number, number>();
  const kept: Expression[] = [];
  list.forEach((expression, i) => {
    if (!needed.has(i)) return;
    const at = (position: number): number => positions.get(position)!;
    let moved = expression;
    if (expression.kind === "apply") {
      moved = { ...expression, operands: expression.operands.map(at) };
    } else if (expression.kind === "load" && expression.guard !== undefined) {
      moved = { ...expression, guard: at(expression.guard) };
    }
    positions.set(i, kept.push(moved) - 1);
  });
  return { list: kept, positions };
}

/** The kernel with every affine function changed. */
export function mapKernel(kernel: NormalKernel, change: (affine: Affine) => Affine): NormalKernel {
  const store = (s: Store): Store => ({ ...s, index: change(s.index) });
  return {
    ...kernel,
    body: kernel.body.map((expression) => mapAffines(expression, change)),
    epilogue: kernel.epilogue.map((expression) => mapAffines(expression, change)),
    stores: kernel.stores.map(store),
    position: kernel.position && change(kernel.position),
  };
}

/** The kernel with its loops in another order, or without some: `order` lists those that stay. */
export function reordered(kernel: NormalKernel, order: readonly number[]): NormalKernel {
  const changed = mapKernel(kernel, ({ offset, strides }) => ({
    offset,
    strides: order.map((loop) => strides[loop]!),
  }));
  return {
    ...changed,
    extents: order.map((loop) => kernel.extents[loop]!),
    outputRank: order.filter((loop) => loop < kernel.outputRank).length,
  };
}

// Every affine function of a kernel.
function allAffines(kernel: NormalKernel): Affine[] {
  return [
    ...[...kernel.body, ...kernel.epilogue].flatMap(affinesOf),
    ...kernel.stores.map((store) => store.index),
    ...(kernel.position ? [kernel.position] : []),
  ];
}

/** Merges loop `outer + 1` into loop `outer` wherever all affine functions walk on evenly. */
function merged(kernel: NormalKernel): NormalKernel {
  for (let outer = kernel.extents.length - 2; outer >= 0; outer--) {
    if (outer === kernel.outputRank - 1) continue;
    const inner = outer + 1;
    const size = kernel.extents[inner]!;
    const even = allAffines(kernel).every(
      ({ strides }) => strides[outer] === strides[inner]! * size,
    );
    if (!even) continue;
    const { extents, outputRank } = kernel;
    const changed = mapKernel(kernel, ({ offset, strides }) => ({
      offset,
      strides: strides.filter((_, loop) => loop !== outer),
    }));
    kernel = {
      ...changed,
      extents: extents.flatMap((extent, loop) =>
        loop === outer ? [extent * size] : loop === inner ? [] : [extent],
      ),
      outputRank: outer < outputRank ? outputRank - 1 : outputRank,
    };
  }
  return kernel;
}

// How far a loop moves in memory: by its stores, or by its loads where it is reduced.
function reach(kernel: NormalKernel, loop: number): number {
  const bytes = (affine: Affine, size: number): number => Math.abs(affine.strides[loop]!) * size;
  if (loop < kernel.outputRank) {
    return Math.max(...kernel.stores.map((s) => bytes(s.index, bytesPerElement(s.stored))));
  }
  return kernel.body.reduce(
    (sum, e) => (e.kind === "load" ? sum + bytes(e.index, bytesPerElement(e.stored)) : sum),
    0,
  );
}

/** The simpler form of a kernel. */
export function normalize(kernel: LoopKernel): NormalKernel {
  const { extents, outputRank, reducer } = kernel;
  const isArg = reducer === "argmax" || reducer === "argmin";
  const results = kernel.stores.map((store) => store.expression);
  const body = withoutDead(kernel.body, reducer ? [kernel.body.length - 1] : results);
  const epilogue = withoutDead(kernel.epilogue, reducer ? results : []);
  const last = reducer ? epilogue : body;
  let position: Affine | null = null;
  if (isArg) {
    const strides = new Array<number>(extents.length).fill(0);
    let stride = 1;
    for (let loop = extents.length - 1; loop >= outputRank; loop--) {
      strides[loop] = stride;
      stride *= extents[loop]!;
    }
    position = { offset: 0, strides };
  }
  const simple: NormalKernel = {
    ...kernel,
    body: body.list,
    epilogue: epilogue.list,
    stores: kernel.stores.map((store) => ({
      ...store,
      expression: last.positions.get(store.expression)!,
    })),
    position,
  };
  const turning = extents.map((_, loop) => loop).filter((loop) => extents[loop]! > 1);
  const byReach = (a: number, b: number): number => reach(simple, b) - reach(simple, a);
  const outputs = turning.filter((loop) => loop < outputRank).sort(byReach);
  const reduced = turning.filter((loop) => loop >= outputRank);
  // Of equal extremes the first counts, so the arg reducers keep the order.
  if (!isArg) reduced.sort(byReach);
  return merged(reordered(simple, [...outputs, ...reduced]));
}
