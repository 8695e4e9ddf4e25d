/**
 * The state of emission inside a nest of loops: what addresses and values are at hand.
 *
 * Everything that an inner loop does not change is computed outside of it. Addresses and indices
 * advance per loop: at the start of each turn they are the outer loop's plus counter · stride.
 */

import type { Affine, Expression } from "../../plan/loop.js";
import { bytesPerElement, type DType } from "../../tensor/dtype.js";
import { type I32, i32, i32x4, type V128 } from "../assembler/index.js";
import { integer, type MathContext, threefry } from "../math/index.js";
import { affinesOf, type NormalKernel, operandsOf } from "./normalize.js";
import { applyScalar } from "./scalar.js";
import {
  castLanes,
  constantLanes,
  loadSomeLanes,
  loadSplat,
  loadStrided,
  loadVector,
  storeSomeLanes,
  storeVector,
} from "./storage.js";

/** Which elements along the vector loop are computed together. */
export interface Block {
  /** Distance of lane 0 from the vector loop's counter. */
  readonly first: number;
  /** Bits of the lanes that exist, or `null` for all four. */
  readonly lanes: I32 | null;
  /** `inside` expressions that are the same for all lanes here: 0 or 1. */
  readonly states: ReadonlyMap<number, I32> | null;
}

/** Values of expressions, by position in their list. */
export type Values = Map<number, V128>;

interface Group {
  readonly slot: number | null;
  /** Bytes per element; 1 for indices. */
  readonly size: number;
  readonly strides: readonly number[];
  /** The smallest offset of the group's members. */
  offset: number;
}

const groupKey = (slot: number | null, size: number, strides: readonly number[]): string =>
  `${slot ?? "index"}:${size}:${strides.join()}`;

/** What an expression depends on, found once per list. */
export interface Dependence {
  /** The innermost loop it depends on, -1 for none. */
  readonly level: number;
  /** Whether it depends on the vector loop. */
  readonly varying: boolean;
  /** Whether it does so other than through `inside` expressions. */
  readonly dynamic: boolean;
}

/** Finds what each expression of a list depends on. */
export function dependencesOf(list: readonly Expression[], vector: number): Dependence[] {
  const result: Dependence[] = [];
  for (const e of list) {
    const strides = affinesOf(e).map((affine) => affine.strides);
    let level = -1;
    for (const s of strides) {
      s.forEach((stride, loop) => {
        if (stride !== 0 && loop > level) level = loop;
      });
    }
    let varying = strides.some((s) => s[vector] !== 0);
    let dynamic = varying && e.kind !== "inside";
    for (const operand of operandsOf(e)) {
      const other = result[operand]!;
      level = Math.max(level, other.level);
      varying ||= other.varying;
      dynamic ||= other.dynamic;
    }
    result.push({ level, varying, dynamic });
  }
  return result;
}

/** Emission inside a nest of loops. */
export class Nest {
  readonly c: MathContext;
  readonly kernel: NormalKernel;
  readonly vector: number;
  private readonly args: I32;
  private readonly groups = new Map<string, Group>();
  // Where each group stands with the counters entered so far.
  private current = new Map<string, I32>();
  // Inside of a tile: how far from the turn entered the row in question is, and along which loop.
  private row = { loop: -1, distance: 0 };
  // Of kept guards: whether any lane is open.
  private readonly flags = new Map<V128, I32>();

  constructor(c: MathContext, kernel: NormalKernel, vector: number, args: I32) {
    this.c = c;
    this.kernel = kernel;
    this.vector = vector;
    this.args = args;
    const { f } = c;
    for (const e of [...kernel.body, ...kernel.epilogue]) {
      if (e.kind === "load") this.register(e.slot, bytesPerElement(e.stored), e.index);
      else for (const affine of affinesOf(e)) this.register(null, 1, affine);
    }
    for (const s of kernel.stores) this.register(s.slot, bytesPerElement(s.stored), s.index);
    if (kernel.position) this.register(null, 1, kernel.position);
    const addresses = new Map<number, I32>();
    for (const [key, { slot, size, offset }] of this.groups) {
      if (slot === null) {
        this.current.set(key, i32.const(0));
        continue;
      }
      let address = addresses.get(slot);
      if (!address) addresses.set(slot, (address = f.let(i32.load(args, slot * 4))));
      this.current.set(key, f.keep(address.add(offset * size)));
    }
  }

  private register(slot: number | null, size: number, affine: Affine): void {
    const key = groupKey(slot, size, affine.strides);
    const group = this.groups.get(key);
    const offset = slot === null ? 0 : affine.offset;
    if (!group) this.groups.set(key, { slot, size, strides: affine.strides, offset });
    else group.offset = Math.min(group.offset, offset);
  }

  /** Emits the turn of a loop with the given counter. */
  enter(loop: number, counter: I32, body: () => void): void {
    const { f } = this.c;
    const outside = this.current;
    const inside = new Map(outside);
    for (const [key, { size, strides }] of this.groups) {
      const stride = strides[loop]! * size;
      if (stride !== 0) inside.set(key, f.keep(outside.get(key)!.add(counter.multiply(stride))));
    }
    this.current = inside;
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

  // What the distance of the row adds to an affine function.
  private byRow({ strides }: Affine): number {
    return this.row.distance === 0 ? 0 : strides[this.row.loop]! * this.row.distance;
  }

  // The address of a memory access and the constant offset to it.
  private place(slot: number, dtype: DType, index: Affine): { address: I32; offset: number } {
    const size = bytesPerElement(dtype);
    const key = groupKey(slot, size, index.strides);
    const offset = (index.offset - this.groups.get(key)!.offset) * size;
    const address = this.current.get(key)!;
    const more = this.byRow(index) * size;
    return more < 0 ? { address: address.add(more), offset } : { address, offset: offset + more };
  }

  /** The value of an affine function with the counters entered so far. */
  indexAt(affine: Affine): I32 {
    const here = this.current.get(groupKey(null, 1, affine.strides))!;
    return here.add(affine.offset + this.byRow(affine));
  }

  /** Four elements along the tile's loop, `lane` turns of the vector loop from here. */
  loadAlongRows(e: Expression & { readonly kind: "load" }, lane: number): V128 {
    const { address, offset } = this.place(e.slot, e.stored, e.index);
    const step = e.index.strides[this.vector]! * bytesPerElement(e.stored);
    return castLanes(
      this.c,
      loadVector(this.c, e.stored, address, offset + lane * step),
      e.stored,
      e.dtype,
    );
  }

  /** The values of an affine function in the lanes of a block. */
  indexLanes(affine: Affine, block: Block | null): V128 {
    const stride = affine.strides[this.vector]!;
    const here = i32x4.splat(this.indexAt(affine).add((block?.first ?? 0) * stride));
    if (stride === 0 || !block) return here;
    const ramp = this.c.f.constant(i32x4.const(0, stride, 2 * stride, 3 * stride));
    return i32x4.add(here, ramp);
  }

  /** Whether an `inside` expression holds, where it does not depend on the vector loop. */
  insideAt(e: Expression & { readonly kind: "inside" }): I32 {
    return e.conditions
      .map(({ index, size }) => this.indexAt(index).lessUnsigned(size))
      .reduce((a, b) => a.and(b));
  }

  /**
   * Evaluates expressions, given in the order of their list. Values that `outlive` says are used
   * later, and those used more than once, are kept in locals; the others become part of the
   * expression that uses them. `block` is `null` where nothing depends on the vector loop.
   */
  evaluate(
    list: readonly Expression[],
    which: readonly number[],
    dependences: readonly Dependence[],
    block: Block | null,
    values: Values,
    outlives: (position: number) => boolean,
  ): void {
    const { f } = this.c;
    const uses = new Map<number, number>();
    for (const position of which) {
      for (const operand of operandsOf(list[position]!)) {
        uses.set(operand, (uses.get(operand) ?? 0) + 1);
      }
    }
    // Long chains are cut into locals: code is nested only so deep.
    const depths = new Map<number, number>();
    const words = new Map<string, readonly V128[]>();
    for (const position of which) {
      const e = list[position]!;
      let value = this.compute(e, position, list, dependences, block, values, words);
      const depth = 1 + Math.max(0, ...operandsOf(e).map((operand) => depths.get(operand) ?? 0));
      const kept = outlives(position) || (uses.get(position) ?? 0) > 1 || depth > 100;
      if (kept) value = f.keep(value);
      const guards = !dependences[position]!.dynamic && outlives(position);
      if (guards && list.some((user) => user.kind === "load" && user.guard === position)) {
        this.flags.set(value, f.let(value.anyTrue()));
      }
      depths.set(position, kept ? 0 : depth);
      values.set(position, value);
    }
  }

  private compute(
    e: Expression,
    position: number,
    list: readonly Expression[],
    dependences: readonly Dependence[],
    block: Block | null,
    values: Values,
    words: Map<string, readonly V128[]>,
  ): V128 {
    const { c } = this;
    switch (e.kind) {
      case "constant":
        return constantLanes(c, e.value, e.dtype);
      case "scalar":
        return loadScalar(c, this.args, this.kernel.slots + e.slot, e.dtype);
      case "index":
        return this.indexLanes(e.index, block);
      case "inside": {
        const state = block?.states?.get(position);
        if (state) return i32x4.splat(i32.const(0).subtract(state));
        if (!block || !dependences[position]!.varying) {
          return i32x4.splat(i32.const(0).subtract(this.insideAt(e)));
        }
        return e.conditions
          .map(({ index, size }) =>
            i32x4.lessUnsigned(this.indexLanes(index, block), integer(c, size)),
          )
          .reduce((a, b) => a.and(b));
      }
      case "load":
        return castLanes(c, this.load(e, dependences, block, values), e.stored, e.dtype);
      case "apply": {
        if (e.function === "threefry0" || e.function === "threefry1") {
          const key = e.operands.join();
          let both = words.get(key);
          if (!both) {
            const [k0, k1, c0, c1] = e.operands.map((operand) => values.get(operand)!);
            words.set(key, (both = threefry(c, k0!, k1!, c0!, c1!)));
          }
          return both[e.function === "threefry0" ? 0 : 1]!;
        }
        const operands = e.operands.map((operand) => {
          const source = list[operand]!;
          return {
            value: values.get(operand)!,
            dtype: source.dtype,
            constant: source.kind === "constant" ? source.value : undefined,
          };
        });
        return applyScalar(c, e.function, operands, e.dtype);
      }
      case "reduced":
        return values.get(position)!;
    }
  }

  private load(
    e: Expression & { readonly kind: "load" },
    dependences: readonly Dependence[],
    block: Block | null,
    values: Values,
  ): V128 {
    const { c } = this;
    const { f } = c;
    const guard = e.guard === undefined ? null : values.get(e.guard)!;
    if (!guard) return this.loadLanes(e, block, block?.lanes ?? null);
    const dependence = dependences[e.guard!]!;
    const result = f.let(integer(c, 0));
    const same = !dependence.varying || (Boolean(block?.states) && !dependence.dynamic);
    if (same) {
      f.if(this.flags.get(guard) ?? guard.anyTrue(), () => {
        f.set(result, this.loadLanes(e, block, block?.lanes ?? null));
      });
      return result;
    }
    let lanes: I32 = i32x4.bitmask(guard);
    if (block?.lanes) lanes = lanes.and(block.lanes);
    const open = f.let(lanes);
    if (e.index.strides[this.vector] === 0) {
      f.if(open, () => {
        f.set(result, this.loadLanes(e, block, null).and(guard));
      });
      return result;
    }
    f.if(
      open.equal(15),
      () => {
        f.set(result, this.loadLanes(e, block, null));
      },
      () => {
        f.if(open, () => {
          f.set(result, this.loadLanes(e, block, open));
        });
      },
    );
    return result;
  }

  /** Loads the lanes of a block, or those of them whose bits are set. */
  loadLanes(
    e: Pick<Expression & { readonly kind: "load" }, "slot" | "stored" | "index">,
    block: Block | null,
    lanes: I32 | null,
  ): V128 {
    const { c } = this;
    const { address, offset } = this.place(e.slot, e.stored, e.index);
    const stride = e.index.strides[this.vector]!;
    if (stride === 0 || !block) return loadSplat(c, e.stored, address, offset);
    const step = stride * bytesPerElement(e.stored);
    const first = block.first * step;
    if (stride < 0) {
      // Offsets must not be negative: the lowest address is lane 3's.
      if (lanes) return loadSomeLanes(c, e.stored, address.add(first), offset, step, lanes);
      const lowest = address.add(first + 3 * step);
      const forward =
        stride === -1
          ? loadVector(c, e.stored, lowest, offset)
          : loadStrided(c, e.stored, lowest, offset, -step);
      const kept = c.f.keep(forward);
      return i32x4.shuffle(kept, kept, [3, 2, 1, 0]);
    }
    if (lanes) return loadSomeLanes(c, e.stored, address, offset + first, step, lanes);
    return stride === 1
      ? loadVector(c, e.stored, address, offset + first)
      : loadStrided(c, e.stored, address, offset + first, step);
  }

  /** Stores the lanes of a block; without one, the single element that lane 0 is. */
  store(
    store: NormalKernel["stores"][number],
    from: DType,
    value: V128,
    block: Block | null,
  ): void {
    const { c } = this;
    // Storing rounds to float16 by itself.
    const target = store.stored === "float16" ? "float32" : store.stored;
    const cast = castLanes(c, value, from, target);
    const { address, offset } = this.place(store.slot, store.stored, store.index);
    if (!block) {
      storeSomeLanes(c, store.stored, address, offset, 0, cast, 1);
      return;
    }
    const stride = store.index.strides[this.vector]!;
    const step = stride * bytesPerElement(store.stored);
    const first = block.first * step;
    const at = first < 0 ? address.add(first) : address;
    const by = first < 0 ? offset : offset + first;
    if (block.lanes) storeSomeLanes(c, store.stored, at, by, step, cast, block.lanes);
    else if (stride === 1) storeVector(c, store.stored, at, by, cast);
    else storeSomeLanes(c, store.stored, at, by, step, cast, 4);
  }
}

// A scalar argument word in all lanes.
function loadScalar(c: MathContext, args: I32, word: number, dtype: DType): V128 {
  const bits = loadSplat(c, "int32", args, word * 4);
  return dtype === "bool" ? i32x4.notEqual(bits, integer(c, 0)) : bits;
}
