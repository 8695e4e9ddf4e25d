/**
 * The vector loop: whole blocks of vectors, then single vectors, then the lanes that are left.
 *
 * Where a kernel reads with padding, the conditions that depend on the loop hold on intervals of
 * it. The loop then goes from one border to the next; between borders the conditions are the same
 * for all lanes, and vectors across borders are done by lanes.
 */

import type { Affine, Expression } from "../../plan/loop.js";
import { type I32, type I32Like, i32 } from "../assembler/index.js";
import type { Block, Nest } from "./nest.js";

/** The turns of a loop. */
export interface Range {
  readonly from: I32Like;
  readonly to: I32Like;
  /** A number that divides all distances between `from` and `to`. */
  readonly granule: number;
}

/** A condition on the vector loop's counter: it holds from `begin` to before `end`. */
interface Interval {
  readonly begin: I32;
  readonly end: I32;
}

const wholeBlock = (first: number): Block => ({ first, lanes: null, states: null });

/** Runs `body` for blocks of `unroll` vectors, single vectors, and what is left. */
export function plainVectorLoop(
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
    const blocks = Array.from({ length: vectors }, (_, u) => wholeBlock(4 * u));
    const advance = (): void => {
      turn(blocks);
      f.increment(i, step);
    };
    const more = i.less(f.keep(to.subtract(step - 1)));
    if (size !== null && size >= step && vectors === unroll) f.doWhile(advance, more);
    else f.while(more, advance);
  };
  if (size === null || size >= 4 * unroll) whole(unroll);
  const rest = size === null ? range.granule % (4 * unroll) : size % (4 * unroll);
  if (unroll > 1 && (size === null ? rest !== 0 : rest >= 4)) whole(1);
  if (rest % 4 === 0) return;
  const tail = (): void => {
    const lanes = f.let(i32.const(1).shiftLeft(to.subtract(i)).subtract(1));
    turn([{ first: 0, lanes, states: null }]);
  };
  if (size === null) f.if(i.less(to), tail);
  else tail();
}

/** The smallest i with stride · i + value ≥ 0 (stride > 0). */
function firstAtLeastZero(nest: Nest, value: I32, stride: number): I32 {
  const { f } = nest.c;
  if (stride === 1) return i32.const(0).subtract(value);
  // Rounded up; the division truncates.
  const negated = f.let(i32.const(0).subtract(value));
  const up = negated.add(stride - 1).divide(i32.const(stride));
  return negated.greater(0).select(up, negated.divide(i32.const(stride)));
}

function intervalOf(nest: Nest, index: Affine, size: number): Interval {
  const { f } = nest.c;
  const stride = index.strides[nest.vector]!;
  const value = f.keep(nest.indexAt(index));
  if (stride > 0) {
    // 0 ≤ value + stride i, and value + stride i < size.
    return {
      begin: f.let(firstAtLeastZero(nest, value, stride)),
      end: f.let(firstAtLeastZero(nest, value.subtract(size), stride)),
    };
  }
  // With i negative the same: value - |stride| i.
  return {
    begin: f.let(firstAtLeastZero(nest, i32.const(size - 1).subtract(value), -stride)),
    end: f.let(firstAtLeastZero(nest, i32.const(-1).subtract(value), -stride)),
  };
}

type Inside = Expression & { readonly kind: "inside" };

/** What a vector loop with borders needs besides its body. */
export interface Bordered {
  /** The `inside` expressions that depend on the vector loop, by position. */
  readonly insides: ReadonlyMap<number, Inside>;
  /** Called between borders, before vectors are run, with the states of the expressions. */
  readonly enterSegment: (block: Block) => void;
}

/** Runs `body` vector by vector, with conditions settled between borders. */
export function borderedVectorLoop(
  nest: Nest,
  range: Range,
  { insides, enterSegment }: Bordered,
  body: (blocks: readonly Block[]) => void,
): void {
  const { f } = nest.c;
  const to = f.keep(i32.from(range.to));
  const i = f.let(i32.from(range.from));
  const intervals = new Map<number, (Interval | I32)[]>();
  for (const [position, e] of insides) {
    intervals.set(
      position,
      e.conditions.map(({ index, size }) =>
        index.strides[nest.vector] === 0
          ? f.let(nest.indexAt(index).lessUnsigned(size))
          : intervalOf(nest, index, size),
      ),
    );
  }
  const limit = f.local(i32);
  f.while(i.less(to), () => {
    f.set(limit, to);
    const states = new Map<number, I32>();
    for (const [position, parts] of intervals) {
      const holds = parts.map((part) => {
        if ("code" in part) return part;
        for (const border of [part.begin, part.end]) {
          const comes = border.greater(i).and(border.less(limit));
          f.set(limit, comes.select(border, limit));
        }
        return part.begin.lessEqual(i).and(i.less(part.end));
      });
      states.set(position, f.let(holds.reduce((a, b) => a.and(b))));
    }
    f.set(limit, limit.subtract(3));
    f.if(
      i.less(limit),
      () => {
        const block: Block = { first: 0, lanes: null, states };
        enterSegment(block);
        f.doWhile(() => {
          nest.enter(nest.vector, i, () => {
            body([block]);
          });
          f.increment(i, 4);
        }, i.less(limit));
      },
      () => {
        const left = f.let(to.subtract(i));
        const lanes = i32.const(1).shiftLeft(left.minimum(4)).subtract(1);
        const block: Block = { first: 0, lanes: f.let(lanes), states: null };
        nest.enter(nest.vector, i, () => {
          body([block]);
        });
        f.increment(i, 4);
      },
    );
  });
}
