/**
 * The state of emission inside a nest of loops: what addresses and values are at hand.
 *
 * Everything that an inner loop does not change is computed outside of it. Addresses and indices
 * advance per loop: at the start of each turn they are the outer loop's plus counter · stride.
 */

import type {
  Affine,
  Expression,
  InsideExpression,
  LoadExpression,
  Store,
} from "../../plan/loop.js";
import { bytesPerElement, type DType } from "../../tensor/dtype.js";
import { type I32, i32, i32x4, type V128 } from "../assembler/index.js";
import { integer, type MathContext, threefry } from "../math/index.js";
import { affinesOf, type NormalKernel, operandsOf } from "./normalize.js";
import { applyScalar } from "./scalar.js";
import {
  castLanes,
  constantLanes,
  loadLanes,
  loadSplat,
  loadVector,
  storeLanes,
  storeVector,
} from "./storage.js";

/** Which elements along the vector loop are computed together. */
export interface Block {
  /** Distance of lane 0 from the vector loop's counter. */
  readonly first: number;
  /** Bits of the lanes that exist, or `null` for all four. */
  readonly lanes: I32 | null;
}

/** A list of expressions, and what is to be known about them. */
export interface Part {
  readonly list: readonly Expression[];
  /** The innermost loop each depends on, -1 for none. */
  readonly levels: readonly number[];
  /** Whether its lanes may differ. */
  readonly varying: readonly boolean[];
  /** Expressions whose values are used where deeper loops turn, or by other blocks. */
  readonly outliving: ReadonlySet<number>;
}

/** Values of expressions, by `keyOf`. */
export type Values = Map<string, V128>;

/** Names a value: by its position, and by the block where lanes differ. */
export function keyOf(part: Part, position: number, block: Block | null): string {
  return part.varying[position] && block ? `${position} ${block.first}` : `${position}`;
}

/**
 * Finds what the expressions of a list depend on. `settles` says that conditions on the vector loop
 * are found between borders, the same for all lanes.
 */
export function partOf(
  list: readonly Expression[],
  vector: number,
  settles: boolean,
  outliving: Iterable<number> = [],
): Part {
  const levels: number[] = [];
  const varying: boolean[] = [];
  const outlives = new Set(outliving);
  for (const e of list) {
    const affines = affinesOf(e);
    const operands = operandsOf(e);
    const own = affines.map(({ strides }) => strides.findLastIndex((stride) => stride !== 0));
    const level = Math.max(-1, ...own, ...operands.map((operand) => levels[operand]!));
    const steps = affines.map(({ strides }) => Math.abs(strides[vector]!));
    const varies =
      steps.some((step) => step > (settles && e.kind === "inside" ? 1 : 0)) ||
      operands.some((operand) => varying[operand]);
    for (const operand of operands) {
      if (level > levels[operand]! || varies !== varying[operand]) outlives.add(operand);
    }
    levels.push(level);
    varying.push(varies);
  }
  return { list, levels, varying, outliving: outlives };
}

// Memory accesses, or indices (slot -1), that advance together.
interface Group {
  readonly slot: number;
  readonly size: number;
  readonly strides: readonly number[];
  /** The smallest offset of the group's members. */
  offset: number;
}

const groupKey = (slot: number, size: number, strides: readonly number[]): string =>
  `${slot} ${size} ${strides.join()}`;

/** Emission inside a nest of loops. */
export class Nest {
  readonly c: MathContext;
  readonly vector: number;
  /** Conditions that are the same for all lanes here. */
  readonly settled: Map<InsideExpression, I32> = new Map();
  private readonly args: I32;
  private readonly slots: number;
  private readonly groups = new Map<string, Group>();
  // Where each group stands with the counters entered so far.
  private current = new Map<string, I32>();
  // Inside of a tile: how far from the turn entered the row in question is, and along which loop.
  private row = { loop: -1, distance: 0 };
  // Of kept guards: whether any lane is open.
  private readonly flags = new Map<V128, I32>();

  constructor(c: MathContext, kernel: NormalKernel, vector: number, args: I32) {
    this.c = c;
    this.vector = vector;
    this.args = args;
    this.slots = kernel.slots;
    for (const e of [...kernel.body, ...kernel.epilogue]) {
      const [slot, size] = e.kind === "load" ? [e.slot, bytesPerElement(e.stored)] : [-1, 1];
      for (const affine of affinesOf(e)) this.register(slot, size, affine);
    }
    for (const { slot, stored, index } of kernel.stores) {
      this.register(slot, bytesPerElement(stored), index);
    }
    if (kernel.position) this.register(-1, 1, kernel.position);
    const { f } = c;
    const addresses = new Map([[-1, i32.const(0)]]);
    for (const [key, { slot, size, offset }] of this.groups) {
      const address = addresses.get(slot) ?? f.let(i32.load(args, slot * 4));
      addresses.set(slot, address);
      this.current.set(key, f.keep(address.add(offset * size)));
    }
  }

  private register(slot: number, size: number, { offset, strides }: Affine): void {
    const key = groupKey(slot, size, strides);
    const group = this.groups.get(key);
    if (!group) this.groups.set(key, { slot, size, strides, offset });
    else group.offset = Math.min(group.offset, offset);
  }

  /** Emits the turn of a loop with the given counter. */
  enter(loop: number, counter: I32, body: () => void): void {
    const { f } = this.c;
    const outside = this.current;
    this.current = new Map(outside);
    for (const [key, { size, strides }] of this.groups) {
      const step = counter.multiply(strides[loop]! * size);
      this.current.set(key, f.keep(outside.get(key)!.add(step)));
    }
    body();
    this.current = outside;
  }

  /** Emits for a turn `distance` after the one that was entered of a loop. */
  atRow(loop: number, distance: number, body: () => void): void {
    const outside = this.row;
    this.row = { loop, distance };
    body();
    this.row = outside;
  }

  // The address of an access and the constant offset to it, which is not negative; `ahead` turns of
  // the vector loop from here.
  private place(
    slot: number,
    size: number,
    { offset, strides }: Affine,
    ahead: number,
  ): readonly [address: I32, offset: number] {
    const key = groupKey(slot, size, strides);
    const { loop, distance } = this.row;
    const byRow = distance === 0 ? 0 : strides[loop]! * distance;
    const more = (byRow + ahead * strides[this.vector]!) * size;
    const address = this.current.get(key)!;
    const by = (offset - this.groups.get(key)!.offset) * size;
    return more < 0 ? [address.add(more), by] : [address, by + more];
  }

  /** The value of an affine function with the counters entered so far, `ahead` turns further. */
  indexAt(affine: Affine, ahead: number = 0): I32 {
    const [index, offset] = this.place(-1, 1, affine, ahead);
    return index.add(offset);
  }

  /** Four elements along the tile's loop, `ahead` turns of the vector loop from here. */
  loadAlongRows({ slot, stored, dtype, index }: LoadExpression, ahead: number): V128 {
    const { c } = this;
    const [address, offset] = this.place(slot, bytesPerElement(stored), index, ahead);
    return castLanes(c, loadVector(c, stored, address, offset), stored, dtype);
  }

  /** The values of an affine function in the lanes of a block. */
  indexLanes(affine: Affine, block: Block | null): V128 {
    const stride = affine.strides[this.vector]!;
    const here = i32x4.splat(this.indexAt(affine, block?.first));
    if (stride === 0 || !block) return here;
    const ramp = this.c.f.constant(i32x4.const(0, stride, 2 * stride, 3 * stride));
    return i32x4.add(here, ramp);
  }

  /**
   * Evaluates expressions of a part, given in its order. Values that outlive the place and those
   * used more than once are kept in locals; the others become part of the expression that uses
   * them. `block` is `null` where nothing depends on the vector loop.
   */
  evaluate(part: Part, which: readonly number[], block: Block | null, values: Values): void {
    const { f } = this.c;
    const { list, outliving, varying } = part;
    const uses = new Map<number, number>();
    for (const operand of which.flatMap((position) => operandsOf(list[position]!))) {
      uses.set(operand, (uses.get(operand) ?? 0) + 1);
    }
    // Long chains are cut into locals: code is nested only so deep.
    const depths = new Map<number, number>();
    const random = new Map<string, readonly [V128, V128]>();
    for (const position of which) {
      const e = list[position]!;
      const valueAt = (operand: number): V128 => values.get(keyOf(part, operand, block))!;
      let value: V128;
      if (e.kind === "reduced") value = valueAt(position);
      else if (e.kind === "apply" && e.function.startsWith("threefry")) {
        const [k0, k1, c0, c1] = e.operands.map(valueAt);
        const key = e.operands.join();
        const both = random.get(key) ?? threefry(this.c, k0!, k1!, c0!, c1!);
        random.set(key, both);
        value = both[e.function === "threefry0" ? 0 : 1];
      } else value = this.compute(e, part, block, valueAt);
      const depth = 1 + Math.max(0, ...operandsOf(e).map((operand) => depths.get(operand) ?? 0));
      const outlives = outliving.has(position);
      const kept = outlives || (uses.get(position) ?? 0) > 1 || depth > 100;
      if (kept) value = f.keep(value);
      const guards = (user: Expression): boolean => user.kind === "load" && user.guard === position;
      if (outlives && !varying[position] && list.some(guards)) {
        this.flags.set(value, f.let(value.anyTrue()));
      }
      depths.set(position, kept ? 0 : depth);
      values.set(keyOf(part, position, block), value);
    }
  }

  private compute(
    e: Exclude<Expression, { kind: "reduced" }>,
    { list, varying }: Part,
    block: Block | null,
    valueAt: (position: number) => V128,
  ): V128 {
    const { c } = this;
    switch (e.kind) {
      case "constant":
        return constantLanes(c, e.value, e.dtype);
      case "scalar": {
        const bits = loadSplat(c, "int32", this.args, (this.slots + e.slot) * 4);
        return e.dtype === "bool" ? i32x4.notEqual(bits, integer(c, 0)) : bits;
      }
      case "index":
        return this.indexLanes(e.index, block);
      case "inside": {
        const settled = this.settled.get(e);
        const differs = e.conditions.some(({ index }) => index.strides[this.vector] !== 0);
        if (block && differs && !settled) {
          return e.conditions
            .map(({ index, size }) =>
              i32x4.lessUnsigned(this.indexLanes(index, block), integer(c, size)),
            )
            .reduce((a, b) => a.and(b));
        }
        const holds =
          settled ??
          e.conditions
            .map(({ index, size }) => this.indexAt(index).lessUnsigned(size))
            .reduce((a, b) => a.and(b));
        return i32x4.splat(i32.const(0).subtract(holds));
      }
      case "load": {
        const guard = e.guard === undefined ? null : valueAt(e.guard);
        const bits = guard
          ? this.loadGuarded(e, block, guard, varying[e.guard!]!)
          : this.loadLanes(e, block, block?.lanes ?? null);
        return castLanes(c, bits, e.stored, e.dtype);
      }
      case "apply": {
        const operands = e.operands.map((operand) => {
          const source = list[operand]!;
          const constant = source.kind === "constant" ? source.value : undefined;
          return { value: valueAt(operand), dtype: source.dtype, constant };
        });
        return applyScalar(c, e.function, operands, e.dtype);
      }
    }
  }

  private loadGuarded(e: LoadExpression, block: Block | null, guard: V128, differs: boolean): V128 {
    const { f } = this.c;
    const result = f.let(integer(this.c, 0));
    const load = (lanes: I32 | null, mask?: V128): void => {
      const loaded = this.loadLanes(e, block, lanes);
      f.set(result, mask ? loaded.and(mask) : loaded);
    };
    const exist = block?.lanes ?? null;
    if (!differs) {
      f.if(this.flags.get(guard) ?? guard.anyTrue(), () => {
        load(exist);
      });
      return result;
    }
    const bits = i32x4.bitmask(guard);
    const open = f.let(exist ? bits.and(exist) : bits);
    if (e.index.strides[this.vector] === 0) {
      f.if(open, () => {
        load(null, guard);
      });
      return result;
    }
    f.if(
      open.equal(15),
      () => {
        load(null);
      },
      () => {
        f.if(open, () => {
          load(open);
        });
      },
    );
    return result;
  }

  /** Loads the lanes of a block, or those of them whose bits are set. */
  loadLanes(
    { slot, stored, index }: Pick<LoadExpression, "slot" | "stored" | "index">,
    block: Block | null,
    lanes: I32 | null,
  ): V128 {
    const { c } = this;
    const size = bytesPerElement(stored);
    const stride = index.strides[this.vector]!;
    const place = (lane: number): readonly [address: I32, offset: number] =>
      this.place(slot, size, index, (block?.first ?? 0) + lane);
    if (stride === 0 || !block) return loadSplat(c, stored, ...place(0));
    if (!lanes && stride === 1) return loadVector(c, stored, ...place(0));
    if (lanes || stride !== -1) {
      return loadLanes(c, stored, ...place(0), stride * size, lanes ?? 15);
    }
    const forward = c.f.keep(loadVector(c, stored, ...place(3)));
    return i32x4.shuffle(forward, forward, [3, 2, 1, 0]);
  }

  /** Stores the lanes of a block; without one, the single element that lane 0 is. */
  store({ slot, stored, index }: Store, from: DType, value: V128, block: Block | null): void {
    const { c } = this;
    // Storing rounds to float16 by itself.
    const cast = castLanes(c, value, from, stored === "float16" ? "float32" : stored);
    const size = bytesPerElement(stored);
    const stride = index.strides[this.vector]!;
    const [address, offset] = this.place(slot, size, index, block?.first ?? 0);
    if (block && !block.lanes && stride === 1) storeVector(c, stored, address, offset, cast);
    else {
      const lanes = block ? (block.lanes ?? 15) : 1;
      storeLanes(c, stored, address, offset, stride * size, cast, lanes);
    }
  }
}
