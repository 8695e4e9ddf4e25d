/**
 * Sweeps over the elements that one result depends on: a row of contiguous elements, or a few
 * neighbouring columns. Kernels written as sweeps work for both.
 *
 * A sweep holds its elements in `parts` vectors at a time, and an accumulator for each. In a row the
 * accumulators are joined in the end; in columns each lane stands for a column of its own.
 */

import {
  f32x4,
  type FunctionBuilder,
  i32x4,
  type I32,
  type Local,
  v128,
  type V128,
} from "../../assembler/index.js";

/** The elements a sweep stands at: vectors, or single ones where no four are left. */
export interface Lanes {
  /** The elements at pointer number `pointer` of the sweep. */
  load(pointer: number): V128;
  store(pointer: number, value: V128): void;
  /** The value with 0 in lanes that do not stand for an element. */
  keep(value: V128): V128;
}

/** What is done at every position; `part` numbers the accumulators. */
export type SweepBody = (lanes: Lanes, part: number) => void;

/** A sweep over memory that several pointers walk through together. */
export interface Sweep {
  readonly f: FunctionBuilder;
  readonly parts: number;
  /** Number of elements. */
  readonly count: I32;
  /** Visits all elements; the pointers stay where they are. */
  over(pointers: readonly I32[], body: SweepBody): void;
  /** The accumulators joined to one value a result: for each part, the value its lanes belong to. */
  join(accumulators: readonly V128[], combine: (a: V128, b: V128) => V128): readonly V128[];
  /** Stores one number a result: for a row one, for columns one each. */
  storeResults(address: I32, values: readonly V128[]): void;
}

function vectorLanes(f: FunctionBuilder, pointers: readonly I32[], offset: number): Lanes {
  return {
    load: (pointer) => v128.load(pointers[pointer]!, offset),
    store: (pointer, value) => {
      f.storeV128(pointers[pointer]!, value, offset);
    },
    keep: (value) => value,
  };
}

// The element is in all lanes and counts in the first.
function singleLane(f: FunctionBuilder, pointers: readonly I32[]): Lanes {
  return {
    load: (pointer) => v128.load32Splat(pointers[pointer]!),
    store: (pointer, value) => {
      f.storeLane(32, pointers[pointer]!, value, 0);
    },
    keep: (value) => value.and(f.constant(i32x4.const(-1, 0, 0, 0))),
  };
}

function advance(
  f: FunctionBuilder,
  pointers: readonly Local<I32>[],
  left: Local<I32>,
  bytes: I32 | number,
  count: number,
): void {
  for (const pointer of pointers) f.increment(pointer, bytes);
  f.increment(left, -count);
}

/** A sweep along `count` contiguous elements, `parts` vectors at a time. */
export function rowSweep(f: FunctionBuilder, count: I32, parts: number): Sweep {
  return {
    f,
    parts,
    count,
    over: (pointers, body) => {
      const at = pointers.map((pointer) => f.let(pointer));
      const left = f.let(count);
      f.while(left.greaterEqual(4 * parts), () => {
        for (let part = 0; part < parts; part++) body(vectorLanes(f, at, 16 * part), part);
        advance(f, at, left, 16 * parts, 4 * parts);
      });
      if (parts > 1) {
        f.while(left.greaterEqual(4), () => {
          body(vectorLanes(f, at, 0), 0);
          advance(f, at, left, 16, 4);
        });
      }
      f.while(left, () => {
        body(singleLane(f, at), 0);
        advance(f, at, left, 4, 1);
      });
    },
    join: (accumulators, combine) => {
      const joined = f.let(accumulators.reduce((a, b) => combine(a, b)));
      f.set(joined, combine(joined, i32x4.shuffle(joined, joined, [2, 3, 0, 1])));
      f.set(joined, combine(joined, i32x4.shuffle(joined, joined, [1, 0, 3, 2])));
      return accumulators.map(() => joined);
    },
    storeResults: (address, [value]) => {
      f.storeLane(32, address, value!, 0);
    },
  };
}

/** A sweep down `parts` · 4 neighbouring columns, or one where `single`; rows are `stride` bytes apart. */
export function columnSweep(
  f: FunctionBuilder,
  count: I32,
  stride: I32,
  parts: number,
  single = false,
): Sweep {
  return {
    f,
    parts,
    count,
    over: (pointers, body) => {
      const at = pointers.map((pointer) => f.let(pointer));
      const left = f.let(count);
      f.while(left, () => {
        for (let part = 0; part < parts; part++) {
          body(single ? singleLane(f, at) : vectorLanes(f, at, 16 * part), part);
        }
        advance(f, at, left, stride, 1);
      });
    },
    join: (accumulators) => accumulators,
    storeResults: (address, values) => {
      values.forEach((value, part) => {
        if (single) f.storeLane(32, address, value, 0);
        else f.storeV128(address, value, 16 * part);
      });
    },
  };
}

/** A reduction over all elements: for each part, the value its lanes belong to. */
export function reduce(
  sweep: Sweep,
  pointers: readonly I32[],
  initial: V128,
  step: (accumulator: V128, lanes: Lanes, part: number) => V128,
  combine: (a: V128, b: V128) => V128,
): readonly V128[] {
  const { f } = sweep;
  const accumulators = Array.from({ length: sweep.parts }, () => f.let(initial));
  sweep.over(pointers, (lanes, part) => {
    f.set(accumulators[part]!, step(accumulators[part]!, lanes, part));
  });
  return sweep.join(accumulators, combine);
}

/** The largest element, -∞ where all are NaN. */
export function largest(sweep: Sweep, pointer: I32): readonly V128[] {
  return reduce(
    sweep,
    [pointer],
    f32x4.splat(-Infinity),
    (accumulator, lanes) => f32x4.pseudoMaximum(accumulator, lanes.load(0)),
    (a, b) => f32x4.pseudoMaximum(a, b),
  );
}

/** The sum of what `term` gives for every element. */
export function total(
  sweep: Sweep,
  pointers: readonly I32[],
  term: (lanes: Lanes, part: number) => V128,
): readonly V128[] {
  return reduce(
    sweep,
    pointers,
    v128.zero(),
    (accumulator, lanes, part) => f32x4.add(accumulator, lanes.keep(term(lanes, part))),
    (a, b) => f32x4.add(a, b),
  );
}
