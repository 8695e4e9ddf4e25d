/**
 * Fusion: builds the loop kernel that computes one value, following its inputs until it meets
 * values that are in memory.
 */

import { XError } from "../error.js";
import type { Reducer, ScalarFunction } from "../graph/scalar-function.js";
import type { Node, Value } from "../graph/node.js";
import { computeType, type DType } from "../tensor/dtype.js";
import { sizeOf, stridesOf } from "../tensor/shape.js";
import {
  broadcastCoordinates,
  counter,
  keepsOrder,
  keyOf,
  linear,
  plus,
  rangeOf,
  SplitRequest,
  throughMovement,
  type Condition,
  type Coordinates,
} from "./affine.js";
import type { Affine, Expression, LoopKernel, Store } from "./loop.js";

/** What fusion has to know about the rest of the plan. */
export interface FusionContext {
  /** The plan buffer of a value that is in memory, or `null` if it has to be computed inline. */
  bufferOf(value: Value): number | null;
  /** The plan's number of a runtime scalar. */
  scalarOf(node: Node): number;
  /** The reduction that is computed together with this value, if any. */
  reductionOf(value: Value): Node | null;
  /** The most buffers that a kernel may use. */
  readonly mostBuffers: number;
}

/** A loop kernel with the plan buffers and scalars of its slots. */
export interface FusedLoop {
  readonly kernel: LoopKernel;
  readonly buffers: readonly number[];
  readonly scalars: readonly number[];
}

/** Why a value cannot be fused: this input must be in memory first. */
export class MaterializeRequest extends Error {
  readonly value: Value;

  constructor(value: Value) {
    super("materialize");
    this.value = value;
  }
}

/** How the loops of a kernel come from axes: each axis is one or more loops. */
interface Nest {
  readonly extents: readonly number[];
  /** The coordinate of each axis. */
  readonly axes: Coordinates;
}

/** Loops for `sizes`, with the requested splits applied in order. */
function makeNest(sizes: readonly number[], splits: readonly SplitRequest[]): Nest {
  let extents = [...sizes];
  let parts = sizes.map((_, axis) => [{ loop: axis, scale: 1 }]);
  for (const { loop, inner } of splits) {
    parts = parts.map((list) =>
      list.flatMap((part) => {
        if (part.loop < loop) return [part];
        if (part.loop > loop) return [{ loop: part.loop + 1, scale: part.scale }];
        return [
          { loop, scale: part.scale * inner },
          { loop: loop + 1, scale: part.scale },
        ];
      }),
    );
    extents = [
      ...extents.slice(0, loop),
      extents[loop]! / inner,
      inner,
      ...extents.slice(loop + 1),
    ];
  }
  const axes = parts.map((list) =>
    list
      .map(({ loop, scale }) => counter(loop, extents.length, scale))
      .reduce((a, b) => plus(a, b)),
  );
  return { extents, axes };
}

/** Builds the kernel that computes `value` into plan buffer `target`. */
export function fuse(value: Value, target: number, context: FusionContext): FusedLoop {
  const splits: SplitRequest[] = [];
  for (;;) {
    try {
      return new LoopBuilder(value, target, context, splits).build();
    } catch (error) {
      if (!(error instanceof SplitRequest)) throw error;
      splits.push(error);
    }
  }
}

class LoopBuilder {
  readonly #value: Value;
  readonly #target: number;
  readonly #context: FusionContext;
  readonly #reduction: Node | null;
  readonly #nest: Nest;
  readonly #outputRank: number;
  readonly #body: Expression[] = [];
  readonly #epilogue: Expression[] = [];
  /** The list being written: the body, or the epilogue after a reduction. */
  #list: Expression[] = this.#body;
  #memo = new Map<Value, Map<string, number>>();
  #shared = new Map<string, number>();
  readonly #buffers: number[] = [];
  /** The elementwise values that are computed inline, users before inputs. */
  readonly #computed: Value[] = [];
  readonly #scalars: number[] = [];
  readonly #scalarTypes: Expression["dtype"][] = [];

  constructor(
    value: Value,
    target: number,
    context: FusionContext,
    splits: readonly SplitRequest[],
  ) {
    this.#value = value;
    this.#target = target;
    this.#context = context;
    this.#reduction = context.reductionOf(value);
    const reduced = this.#reduction === null ? [] : reducedSizes(this.#reduction);
    this.#nest = makeNest([...value.shape, ...reduced], splits);
    // Splits keep the order of loops, so the output loops stay in front.
    this.#outputRank = this.#nest.extents.length - this.#loopsOf(reduced.length);
  }

  /** How many loops the last `axes` axes take. */
  #loopsOf(axes: number): number {
    let count = 0;
    for (const axis of this.#nest.axes.slice(this.#nest.axes.length - axes)) {
      count += axis.strides.filter((stride) => stride !== 0).length;
    }
    return count;
  }

  build(): FusedLoop {
    const { extents, axes } = this.#nest;
    const coordinates = axes.slice(0, this.#value.shape.length);
    let reducer: Reducer | null = null;
    if (this.#reduction !== null) {
      reducer = this.#reduction.op.name as Reducer;
      this.#list = this.#epilogue;
    }
    // A value that is in memory elsewhere only has to be copied.
    const result =
      this.#context.bufferOf(this.#value) === null
        ? this.#inlineComputed(this.#value, coordinates)
        : this.#inline(this.#value, coordinates, null);
    const store: Store = {
      slot: this.#slot(this.#target),
      index: linear(coordinates, stridesOf(this.#value.shape), extents.length),
      expression: result,
      stored: this.#value.dtype,
    };
    return {
      kernel: {
        extents,
        outputRank: this.#outputRank,
        reducer,
        body: this.#body,
        epilogue: this.#epilogue,
        stores: [store],
        slots: this.#buffers.length,
        scalars: this.#scalarTypes,
      },
      buffers: this.#buffers,
      scalars: this.#scalars,
    };
  }

  #slot(buffer: number): number {
    const found = this.#buffers.indexOf(buffer);
    if (found >= 0) return found;
    if (this.#buffers.length === this.#context.mostBuffers) {
      const part = this.#computed.find((value) => value !== this.#value);
      if (part !== undefined) throw new MaterializeRequest(part);
    }
    return this.#buffers.push(buffer) - 1;
  }

  #push(expression: Expression): number {
    const key = JSON.stringify(expression);
    const found = this.#shared.get(key);
    if (found !== undefined) return found;
    const position = this.#list.push(expression) - 1;
    this.#shared.set(key, position);
    return position;
  }

  /** The value at the coordinates: loaded if it is in memory, else computed. */
  #inline(value: Value, coordinates: Coordinates, guard: number | null): number {
    const buffer = this.#context.bufferOf(value);
    if (buffer === null) {
      const known = this.#memo.get(value)?.get(keyOf(coordinates));
      if (known !== undefined) return known;
      const position = this.#inlineComputed(value, coordinates, guard);
      let positions = this.#memo.get(value);
      if (positions === undefined) this.#memo.set(value, (positions = new Map<string, number>()));
      positions.set(keyOf(coordinates), position);
      return position;
    }
    return this.#load(buffer, value, coordinates, guard);
  }

  /** Loads from a dense buffer that holds the elements of `value` in row-major order. */
  #load(buffer: number, value: Value, coordinates: Coordinates, guard: number | null): number {
    return this.#push({
      kind: "load",
      slot: this.#slot(buffer),
      index: linear(coordinates, stridesOf(value.shape), this.#nest.extents.length),
      stored: value.dtype,
      dtype: computeType(value.dtype),
      ...(guard !== null && { guard }),
    });
  }

  #inlineComputed(value: Value, coordinates: Coordinates, guard: number | null = null): number {
    const { node } = value;
    const { extents } = this.#nest;
    const dtype = computeType(value.dtype);
    switch (node.op.kind) {
      case "leaf":
        return this.#leaf(value, coordinates);
      case "elementwise": {
        this.#computed.push(value);
        const operands = node.inputs.map((input) =>
          this.#inline(
            input,
            broadcastCoordinates(coordinates, input.shape, value.shape, extents.length),
            guard,
          ),
        );
        return this.#apply(node, operands, dtype);
      }
      case "movement":
      case "identity": {
        const input = node.inputs[0]!;
        const buffer = this.#context.bufferOf(input);
        // In memory a reshape changes nothing, whether or not its coordinates are affine.
        if (node.op.name === "reshape" && buffer !== null) {
          return this.#load(buffer, value, coordinates, guard);
        }
        const source = throughMovement(node, coordinates, extents);
        if (source === null) throw new MaterializeRequest(input);
        if (source.conditions.length === 0) return this.#inline(input, source.coordinates, guard);
        return this.#padded(input, source.coordinates, source.conditions, guard, dtype);
      }
      case "reduce":
        return this.#reduce(node, coordinates);
      default:
        throw new XError(
          "internal",
          `plan: results of ${node.op.name} must be in memory, got one that is not. Please report this.`,
        );
    }
  }

  #leaf(value: Value, coordinates: Coordinates): number {
    const { node } = value;
    const dtype = computeType(value.dtype);
    switch (node.op.name) {
      case "constant":
        return this.#push({ kind: "constant", value: node.attributes.value as number, dtype });
      case "scalar": {
        const scalar = this.#context.scalarOf(node);
        let slot = this.#scalars.indexOf(scalar);
        if (slot < 0) {
          slot = this.#scalars.push(scalar) - 1;
          this.#scalarTypes.push(dtype);
        }
        return this.#push({ kind: "scalar", slot, dtype });
      }
      case "iota":
        return this.#push({ kind: "index", index: coordinates[0]!, dtype: "int32" });
      default:
        throw new XError(
          "internal",
          `plan: stored leaves must be in memory, got ${node.op.name}. Please report this.`,
        );
    }
  }

  #apply(node: Node, operands: readonly number[], dtype: Expression["dtype"]): number {
    if (node.op.name !== "cast") {
      return this.#push({
        kind: "apply",
        function: node.op.name as ScalarFunction,
        operands,
        dtype,
      });
    }
    const target = node.outputs[0]!.dtype;
    const source = this.#list[operands[0]!]!.dtype;
    const cast = (operand: number, to: Expression["dtype"]): number =>
      this.#push({ kind: "apply", function: "cast", operands: [operand], dtype: to });
    // Storage types are rounded to where the cast stands, not where the plan happens to store.
    if (target !== dtype) return cast(operands[0]!, target);
    return source === dtype ? operands[0]! : cast(operands[0]!, dtype);
  }

  #padded(
    input: Value,
    coordinates: Coordinates,
    conditions: readonly Condition[],
    guard: number | null,
    dtype: Expression["dtype"],
  ): number {
    const { extents } = this.#nest;
    // Conditions that always hold need no test.
    const open = conditions.filter(({ index, size }) => {
      const { low, high } = rangeOf(index, extents);
      return low < 0 || high >= size;
    });
    if (open.length === 0) return this.#inline(input, coordinates, guard);
    let inside = this.#push({ kind: "inside", conditions: open, dtype: "bool" });
    if (guard !== null) {
      inside = this.#push({
        kind: "apply",
        function: "and",
        operands: [guard, inside],
        dtype: "bool",
      });
    }
    if (this.#context.bufferOf(input) !== null) return this.#inline(input, coordinates, inside);
    // The memo must not mix values computed under different guards.
    const memo = this.#memo;
    this.#memo = new Map();
    const value = this.#inline(input, coordinates, inside);
    this.#memo = memo;
    const zero = this.#push({ kind: "constant", value: 0, dtype });
    return this.#push({ kind: "apply", function: "where", operands: [inside, value, zero], dtype });
  }

  /** Writes the body of the reduction and returns its result in the epilogue. */
  #reduce(node: Node, coordinates: Coordinates): number {
    if (node !== this.#reduction) throw new MaterializeRequest(node.outputs[0]!);
    const input = node.inputs[0]!;
    const axes = node.attributes.axes as readonly number[];
    const reducedAxes = this.#nest.axes.slice(this.#value.shape.length);
    let kept = 0;
    let reduced = 0;
    const inner = input.shape.map((_, axis) =>
      axes.includes(axis) ? reducedAxes[reduced++]! : coordinates[kept++]!,
    );
    const [list, memo, shared] = [this.#list, this.#memo, this.#shared];
    this.#list = this.#body;
    this.#memo = new Map();
    this.#shared = new Map();
    const result = this.#inline(input, inner, null);
    // What is reduced must be the last expression of the body.
    if (result !== this.#body.length - 1) {
      const expression = this.#body[result]!;
      this.#body.push({
        kind: "apply",
        function: "cast",
        operands: [result],
        dtype: expression.dtype,
      });
    }
    this.#list = list;
    this.#memo = memo;
    this.#shared = shared;
    return this.#push({ kind: "reduced", dtype: computeType(node.outputs[0]!.dtype) });
  }
}

/** The sizes of the axes a reduction removes. */
function reducedSizes(node: Node): number[] {
  const { shape } = node.inputs[0]!;
  return (node.attributes.axes as readonly number[]).map((axis) => shape[axis]!);
}

/** What `value` is a cast of that loses nothing, if it is one from a narrower type. */
export function widenedFrom({ node }: Value): Value | null {
  const [source] = node.inputs;
  const isWidening =
    node.op.name === "cast" &&
    node.outputs[0]!.dtype === "float32" &&
    (source!.dtype === "float16" || source!.dtype === "int8");
  return isWidening ? source! : null;
}

/**
 * A view of a value in memory as `value` asks for it, or `null` where it is no strided view.
 * `widens` says which types of values in memory may still have to be cast.
 */
export function viewOf(
  value: Value,
  bufferOf: (value: Value) => number | null,
  widens: (stored: DType) => boolean,
): { base: Value; offset: number; strides: readonly number[] } | null {
  const extents = value.shape;
  const castOf = (cast: Value): Value | null => {
    const source = bufferOf(cast) === null ? widenedFrom(cast) : null;
    return source !== null && widens(source.dtype) ? source : null;
  };
  let current = value;
  while (bufferOf(current) === null && (keepsOrder(current.node) || castOf(current) !== null)) {
    current = current.node.inputs[0]!;
  }
  if (bufferOf(current) !== null) return { base: current, offset: 0, strides: stridesOf(extents) };
  let coordinates: Coordinates = extents.map((_, axis) => counter(axis, extents.length));
  current = value;
  while (bufferOf(current) === null) {
    const source = castOf(current);
    if (source !== null) {
      current = source;
      continue;
    }
    const { node } = current;
    const isView =
      node.op.kind === "movement" || (node.op.kind === "identity" && node.op.name === "after");
    if (!isView) return null;
    const [input] = node.inputs;
    if (node.op.name === "reshape" && bufferOf(input!) !== null) {
      const flat = linear(coordinates, stridesOf(current.shape), extents.length);
      return { base: input!, offset: flat.offset, strides: flat.strides };
    }
    let moved;
    try {
      moved = throughMovement(node, coordinates, extents);
    } catch (error) {
      // A view cannot split its axes.
      if (error instanceof SplitRequest) return null;
      throw error;
    }
    if (moved === null || moved.conditions.length > 0) return null;
    coordinates = moved.coordinates;
    current = input!;
  }
  const flat: Affine = linear(coordinates, stridesOf(current.shape), extents.length);
  return { base: current, offset: flat.offset, strides: flat.strides };
}

/** Loops cannot be empty: whether computing a value takes any iteration at all. */
export function isEmpty(value: Value): boolean {
  return sizeOf(value.shape) === 0;
}
