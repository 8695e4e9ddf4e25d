/**
 * The vector loop: whole blocks of vectors, then single vectors, then the lanes that are left.
 *
 * Where a kernel reads with padding, conditions that depend on the loop hold on intervals of it. A
 * long loop goes from one border to the next: in between they are the same for all lanes.
 */

import type { InsideExpression } from "../../plan/loop.js";
import { type I32, type I32Like, i32 } from "../assembler/index.js";
import type { Block, Nest } from "./nest.js";

/** The turns of a loop. */
export interface Range {
  readonly from: I32Like;
  readonly to: I32Like;
  /** A number that divides all distances between `from` and `to`. */
  readonly granule: number;
}

/** Runs `body` for blocks of `unroll` vectors, single vectors, and what is left. */
export function vectorLoop(
  nest: Nest,
  range: Range,
  unroll: number,
  body: (blocks: readonly Block[]) => void,
): void {
  const { f } = nest.c;
  const from = i32.from(range.from);
  const to = f.keep(i32.from(range.to));
  const size =
    from.constant !== undefined && to.constant !== undefined ? to.constant - from.constant : null;
  const i = f.let(from);
  const turn = (blocks: readonly Block[]): void => {
    nest.enter(nest.vector, i, () => {
      body(blocks);
    });
  };
  const whole = (vectors: number): void => {
    const step = 4 * vectors;
    const blocks = Array.from({ length: vectors }, (_, u) => ({ first: 4 * u, lanes: null }));
    const advance = (): void => {
      turn(blocks);
      f.increment(i, step);
    };
    const more = i.less(f.keep(to.subtract(step - 1)));
    if (size !== null && vectors === unroll) f.doWhile(advance, more);
    else f.while(more, advance);
  };
  if (size === null || size >= 4 * unroll) whole(unroll);
  const rest = (size ?? range.granule) % (4 * unroll);
  if (unroll > 1 && (size === null ? rest !== 0 : rest >= 4)) whole(1);
  if (rest % 4 === 0) return;
  const tail = (): void => {
    const lanes = f.let(i32.const(1).shiftLeft(to.subtract(i)).subtract(1));
    turn([{ first: 0, lanes }]);
  };
  if (size === null) f.if(i.less(to), tail);
  else tail();
}

/** Runs `body` for the parts of a range on each of which the conditions all hold or do not. */
export function betweenBorders(
  nest: Nest,
  range: Range,
  insides: readonly InsideExpression[],
  body: (part: Range) => void,
): void {
  const { f } = nest.c;
  const to = f.keep(i32.from(range.to));
  const i = f.let(i32.from(range.from));
  const limit = f.local(i32);
  // Where each condition begins to hold, or whether it does where that is all the same.
  const places = insides.map(({ conditions }) =>
    conditions.map(({ index, size }) => {
      const stride = index.strides[nest.vector]!;
      const value = nest.indexAt(index);
      if (stride === 0) return f.let(value.lessUnsigned(size));
      return f.let(stride > 0 ? i32.const(0).subtract(value) : value.add(1 - size));
    }),
  );
  f.while(i.less(to), () => {
    f.set(limit, to);
    insides.forEach((inside, e) => {
      const holds = inside.conditions.map(({ index, size }, n): I32 => {
        const place = places[e]![n]!;
        if (index.strides[nest.vector] === 0) return place;
        for (const border of [place, place.add(size)]) {
          const comes = border.greater(i).and(border.less(limit));
          f.set(limit, comes.select(border, limit));
        }
        return i.subtract(place).lessUnsigned(size);
      });
      nest.settled.set(inside, f.let(holds.reduce((a, b) => a.and(b))));
    });
    body({ from: i, to: limit, granule: 1 });
    f.set(i, limit);
  });
}
