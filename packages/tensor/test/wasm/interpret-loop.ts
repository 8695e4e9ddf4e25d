/** For tests: the meaning of a loop kernel, element by element. */

import type { Affine, Expression, LoopKernel } from "../../src/plan/loop.js";
import { computeElementwise } from "../../src/reference/elementwise.js";
import type { DType } from "../../src/tensor/dtype.js";

/** The numbers of each slot; bool as 0 and 1, float16 as its value. */
export type Slots = number[][];

function at(affine: Affine, counters: readonly number[]): number {
  return affine.strides.reduce(
    (sum, stride, loop) => sum + stride * counters[loop]!,
    affine.offset,
  );
}

// Numbers as the type holds them in arithmetic.
function rounded(value: number, dtype: DType): number {
  return dtype === "float32" ? Math.fround(value) : value;
}

function apply(name: string, operands: number[], dtypes: DType[], dtype: DType): number {
  const inputs = operands.map((value, i) => ({
    shape: [],
    dtype: dtypes[i]!,
    elements: Float64Array.of(value),
  }));
  return rounded(computeElementwise(name, inputs, { shape: [], dtype })[0]!, dtype);
}

function evaluate(
  list: readonly Expression[],
  counters: readonly number[],
  slots: Slots,
  scalars: readonly number[],
  reduced: number,
): number[] {
  const values: number[] = [];
  for (const e of list) {
    switch (e.kind) {
      case "constant":
        values.push(rounded(e.value, e.dtype));
        break;
      case "scalar":
        values.push(scalars[e.slot]!);
        break;
      case "index":
        values.push(at(e.index, counters));
        break;
      case "inside":
        values.push(
          Number(
            e.conditions.every(({ index, size }) => {
              const i = at(index, counters);
              return i >= 0 && i < size;
            }),
          ),
        );
        break;
      case "load": {
        const open = e.guard === undefined || values[e.guard] !== 0;
        const element = open ? slots[e.slot]![at(e.index, counters)] : 0;
        if (element === undefined) throw new Error(`outside of slot ${e.slot}`);
        values.push(element);
        break;
      }
      case "apply":
        values.push(
          apply(
            e.function,
            e.operands.map((operand) => values[operand]!),
            e.operands.map((operand) => list[operand]!.dtype),
            e.dtype,
          ),
        );
        break;
      case "reduced":
        values.push(reduced);
    }
  }
  return values;
}

function turns(extents: readonly number[]): number[][] {
  return extents.reduce<number[][]>(
    (all, extent) => all.flatMap((c) => Array.from({ length: extent }, (_, i) => [...c, i])),
    [[]],
  );
}

function reduce(kernel: LoopKernel, elements: readonly number[]): number {
  const { dtype } = kernel.body.at(-1)!;
  const beats = (a: number, b: number): boolean =>
    kernel.reducer!.endsWith("max") ? a > b : a < b;
  let best = 0;
  elements.forEach((x, i) => {
    const held = elements[best]!;
    if (beats(x, held) || (Number.isNaN(x) && !Number.isNaN(held))) best = i;
  });
  switch (kernel.reducer!) {
    case "argmax":
    case "argmin":
      return best;
    case "max":
    case "min":
      return elements[best]!;
    case "sum":
      return elements.reduce((a, b) => apply("add", [a, b], [dtype, dtype], dtype), 0);
    case "product":
      return elements.reduce((a, b) => apply("multiply", [a, b], [dtype, dtype], dtype), 1);
  }
}

/** Runs a kernel on its slots. */
export function interpretLoop(kernel: LoopKernel, slots: Slots, scalars: readonly number[]): void {
  const { extents, outputRank } = kernel;
  const inner = turns(extents.slice(outputRank));
  const none = extents.slice(outputRank).map(() => 0);
  for (const outer of turns(extents.slice(0, outputRank))) {
    let counters = outer;
    let values: number[];
    let list = kernel.body;
    if (kernel.reducer) {
      const elements = inner.map((c) =>
        evaluate(kernel.body, [...outer, ...c], slots, scalars, 0).at(-1)!,
      );
      counters = [...outer, ...none];
      list = kernel.epilogue;
      values = evaluate(list, counters, slots, scalars, reduce(kernel, elements));
    } else {
      values = evaluate(list, counters, slots, scalars, 0);
    }
    for (const store of kernel.stores) {
      const from = list[store.expression]!.dtype;
      const value = apply("cast", [values[store.expression]!], [from], store.stored);
      slots[store.slot]![at(store.index, counters)] = value;
    }
  }
}
