/** For tests: random loop kernels whose results are exact, whatever the order of additions. */

import type { ScalarFunction, Reducer } from "../../src/graph/scalar-function.js";
import type { Affine, Expression, LoopKernel, Store } from "../../src/plan/loop.js";
import { computeType, dtypes, isFloat, type DType } from "../../src/tensor/dtype.js";
import type { Slots } from "./interpret-loop.js";

/** A source of random numbers. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number from 0 to before 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `low` to `high`. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.whole(0, items.length - 1)]!;
  }

  chance(p: number): boolean {
    return this.next() < p;
  }

  shuffled<T>(items: readonly T[]): T[] {
    return items
      .map((item) => ({ item, key: this.next() }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item);
  }
}

/** A kernel with what it works on. */
export interface RandomLoop {
  readonly kernel: LoopKernel;
  readonly slots: Slots;
  readonly scalars: readonly number[];
}

const floatFunctions: readonly ScalarFunction[] = [
  "negate",
  "abs",
  "sign",
  "floor",
  "ceil",
  "round",
  "trunc",
  "add",
  "subtract",
  "multiply",
  "maximum",
  "minimum",
  "equal",
  "notEqual",
  "less",
  "lessEqual",
  "where",
  "cast",
];
const integerFunctions: readonly ScalarFunction[] = [
  "negate",
  "abs",
  "sign",
  "add",
  "subtract",
  "multiply",
  "divide",
  "remainder",
  "maximum",
  "minimum",
  "and",
  "or",
  "xor",
  "shiftLeft",
  "shiftRight",
  "equal",
  "notEqual",
  "less",
  "lessEqual",
  "where",
  "cast",
];
const boolFunctions: readonly ScalarFunction[] = [
  "not",
  "and",
  "or",
  "xor",
  "maximum",
  "minimum",
  "equal",
  "notEqual",
  "less",
  "lessEqual",
  "where",
  "cast",
];
const comparisons = ["equal", "notEqual", "less", "lessEqual"];
const unary = ["negate", "abs", "sign", "floor", "ceil", "round", "trunc", "not", "cast"];

function element(random: Random, dtype: DType): number {
  switch (dtype) {
    case "float32":
    case "float16":
      if (random.chance(0.02)) return random.pick([NaN, Infinity, -Infinity]);
      return random.whole(-8, 8) / 2;
    case "int32":
      return random.chance(0.1) ? random.whole(-(2 ** 31), 2 ** 31 - 1) : random.whole(-9, 9);
    case "uint32":
      return random.chance(0.1) ? random.whole(0, 2 ** 32 - 1) : random.whole(0, 9);
    case "int8":
      return random.whole(-128, 127);
    case "bool":
      return random.whole(0, 1);
  }
}

/** Makes one random kernel. */
export class LoopMaker {
  readonly #random: Random;
  readonly #extents: number[];
  readonly #slotTypes: DType[] = [];
  readonly #slotSizes: number[] = [];
  readonly #scalars: { dtype: DType; value: number }[] = [];
  /** Whether loads may have guards. */
  readonly #padded: boolean;

  constructor(random: Random) {
    this.#random = random;
    this.#padded = random.chance(0.6);
    const rank = random.whole(0, 4);
    const sizes = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 33, 64, 130];
    this.#extents = Array.from({ length: rank }, () => random.pick(sizes));
    const limit = 6000;
    let total = this.#extents.reduce((a, b) => a * b, 1);
    while (total > limit) {
      const largest = this.#extents.indexOf(Math.max(...this.#extents));
      total /= this.#extents[largest]!;
      this.#extents[largest] = random.whole(1, 4);
      total *= this.#extents[largest];
    }
  }

  make(): RandomLoop {
    const random = this.#random;
    const rank = this.#extents.length;
    const hasReducer = random.chance(0.6);
    const outputRank = hasReducer ? random.whole(0, rank) : rank;
    const reducer = hasReducer
      ? random.pick<Reducer>(["sum", "sum", "product", "max", "min", "argmax", "argmin"])
      : null;
    const body: Expression[] = [];
    this.#grow(body, rank, random.whole(1, 4), random.whole(0, 6));
    const epilogue: Expression[] = [];
    if (reducer) {
      this.#fitReducer(body, reducer);
      const isArg = reducer.startsWith("arg");
      epilogue.push({ kind: "reduced", dtype: isArg ? "int32" : computeType(body.at(-1)!.dtype) });
      this.#grow(epilogue, outputRank, random.whole(0, 2), random.whole(0, 2));
    }
    const list = reducer ? epilogue : body;
    const stores: Store[] = [];
    for (let i = random.whole(1, 2); i > 0; i--) stores.push(this.#store(list, outputRank));
    const slots = this.#slotTypes.map((dtype, slot) =>
      Array.from({ length: this.#slotSizes[slot]! }, () => element(random, dtype)),
    );
    return {
      kernel: {
        extents: this.#extents,
        outputRank,
        reducer,
        body,
        epilogue,
        stores,
        slots: slots.length,
        scalars: this.#scalars.map(({ dtype }) => dtype),
      },
      slots,
      scalars: this.#scalars.map(({ value }) => value),
    };
  }

  #slot(dtype: DType, size: number): number {
    this.#slotSizes.push(size);
    return this.#slotTypes.push(dtype) - 1;
  }

  // An affine function of the first `loops` counters.
  #affine(loops: number, offset: number): Affine {
    const random = this.#random;
    const strides = this.#extents.map(() => 0);
    if (random.chance(0.25)) {
      for (let loop = 0; loop < loops; loop++) strides[loop] = random.whole(-2, 2);
    } else {
      let stride = random.chance(0.1) ? 2 : 1;
      const used = Array.from({ length: loops }, (_, loop) => loop).filter(() =>
        random.chance(0.8),
      );
      const order = random.next();
      const inOrder = order < 0.5 ? used.reverse() : order < 0.8 ? used : random.shuffled(used);
      for (const loop of inOrder) {
        strides[loop] = random.chance(0.1) ? -stride : stride;
        stride *= this.#extents[loop]!;
      }
    }
    return { offset, strides };
  }

  #value(affine: Affine, counters: readonly number[]): number {
    return affine.strides.reduce((sum, s, loop) => sum + s * counters[loop]!, affine.offset);
  }

  // Calls `visit` for all counters.
  #forAll(visit: (counters: readonly number[]) => void): void {
    const counters = this.#extents.map(() => 0);
    for (;;) {
      visit(counters);
      let loop = counters.length - 1;
      while (loop >= 0 && ++counters[loop]! === this.#extents[loop]) counters[loop--] = 0;
      if (loop < 0) return;
    }
  }

  #load(list: Expression[], loops: number): void {
    const random = this.#random;
    const stored = random.pick(dtypes);
    const affine = this.#affine(loops, 0);
    let guard: number | undefined;
    let inside: (Expression & { kind: "inside" }) | undefined;
    if (this.#padded && random.chance(0.5)) {
      inside = {
        kind: "inside",
        conditions: Array.from({ length: random.whole(1, 2) }, () => ({
          index: this.#affine(loops, random.whole(-5, 5)),
          size: random.whole(1, 40),
        })),
        dtype: "bool",
      };
      guard = list.push(inside) - 1;
    }
    let [low, high] = [Infinity, -Infinity];
    this.#forAll((counters) => {
      const open = inside?.conditions.every(({ index, size }) => {
        const i = this.#value(index, counters);
        return i >= 0 && i < size;
      });
      if (open === false) return;
      const i = this.#value(affine, counters);
      low = Math.min(low, i);
      high = Math.max(high, i);
    });
    if (low > high) [low, high] = [0, 0];
    list.push({
      kind: "load",
      slot: this.#slot(stored, high - low + 1),
      index: { offset: -low, strides: affine.strides },
      stored,
      dtype: computeType(stored),
      ...(guard !== undefined && { guard }),
    });
  }

  // An earlier expression of (nearly) the type, made if there is none.
  #operand(list: Expression[], dtype: DType): number {
    const random = this.#random;
    const same = list.flatMap((e, i) => (e.dtype === dtype ? [i] : []));
    if (same.length > 0 && random.chance(0.9)) return random.pick(same);
    return (
      list.push({
        kind: "constant",
        value: element(random, dtype),
        dtype,
      }) - 1
    );
  }

  #grow(list: Expression[], loops: number, loads: number, functions: number): void {
    const random = this.#random;
    for (let i = 0; i < loads; i++) this.#load(list, loops);
    if (random.chance(0.3)) {
      list.push({ kind: "index", index: this.#affine(loops, random.whole(-3, 3)), dtype: "int32" });
    }
    if (random.chance(0.3)) {
      const dtype = random.pick<DType>(["float32", "int32", "uint32", "bool"]);
      const slot = this.#scalars.push({ dtype, value: element(random, dtype) }) - 1;
      list.push({ kind: "scalar", slot, dtype });
    }
    for (let i = 0; i < functions; i++) this.#apply(list);
  }

  #apply(list: Expression[]): void {
    const random = this.#random;
    const first = random.whole(0, list.length - 1);
    const { dtype } = list[first]!;
    if (dtype === "uint32" && random.chance(0.1)) {
      const operands = [first, 0, 0, 0].map((o, i) => (i === 0 ? o : this.#operand(list, dtype)));
      list.push({ kind: "apply", function: "threefry0", operands, dtype });
      list.push({ kind: "apply", function: "threefry1", operands, dtype });
      return;
    }
    const names = isFloat(dtype)
      ? floatFunctions
      : dtype === "bool"
        ? boolFunctions
        : integerFunctions;
    const name = random.pick(names);
    if (name === "cast") {
      list.push({ kind: "apply", function: name, operands: [first], dtype: random.pick(dtypes) });
      return;
    }
    const operands = [first];
    if (name === "where") operands.push(this.#operand(list, dtype), this.#operand(list, "bool"));
    else if (!unary.includes(name)) operands.push(this.#operand(list, dtype));
    list.push({
      kind: "apply",
      function: name,
      operands: name === "where" ? [operands[2]!, first, operands[1]!] : operands,
      dtype: comparisons.includes(name) ? "bool" : computeType(dtype),
    });
  }

  // Ends a body with something that can be reduced without rounding.
  #fitReducer(body: Expression[], reducer: Reducer): void {
    const push = (e: Expression): number => body.push(e) - 1;
    let last = this.#random.whole(0, body.length - 1);
    if (reducer === "sum" || reducer === "product") {
      const dtype = this.#random.pick<DType>(["float32", "int32", "uint32"]);
      if (dtype === "float32") {
        const whole = push({ kind: "apply", function: "cast", operands: [last], dtype: "int8" });
        last = push({ kind: "apply", function: "cast", operands: [whole], dtype });
        if (reducer === "product") {
          push({ kind: "apply", function: "sign", operands: [last], dtype });
        }
      } else {
        push({ kind: "apply", function: "cast", operands: [last], dtype });
      }
      return;
    }
    if (last !== body.length - 1) {
      const { dtype } = body[last]!;
      push({ kind: "apply", function: "cast", operands: [last], dtype });
    }
  }

  #store(list: Expression[], outputRank: number): Store {
    const random = this.#random;
    const strides = this.#extents.map(() => 0);
    let stride = random.chance(0.15) ? 2 : 1;
    const order = Array.from({ length: outputRank }, (_, i) => outputRank - 1 - i);
    for (const loop of random.chance(0.7) ? order : random.shuffled(order)) {
      strides[loop] = stride;
      stride *= this.#extents[loop]!;
    }
    const offset = random.whole(0, 2);
    const stored = random.pick(dtypes);
    const slot = this.#slot(stored, offset + stride);
    const index = { offset, strides };
    let expression = random.whole(0, list.length - 1);
    if (random.chance(0.2)) {
      // An update in place: what is stored depends on what was there.
      const dtype = computeType(stored);
      const load = list.push({ kind: "load", slot, index, stored, dtype }) - 1;
      const other = this.#operand(list, dtype);
      expression =
        list.push({
          kind: "apply",
          function: dtype === "bool" ? "xor" : "subtract",
          operands: [load, other],
          dtype,
        }) - 1;
    }
    return { slot, index, expression, stored };
  }
}
