/** What a matrix product is about: its sizes, and how the elements of its factors lie in memory. */

import type { LoopStep, NativeStep, Operand } from "@x/tensor/device";
import type { KernelStep } from "../../native.js";
import type { ShaderBuilder, Slot, Width } from "../../wgsl/shader.js";
import { indexIn, product } from "../view.js";

/** A batch of products of `m × k` and `k × n` matrices. */
export interface Problem {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batchShape: readonly number[];
  readonly batch: number;
  readonly left: Operand;
  readonly right: Operand;
  /** The plan buffer of the result. */
  readonly output: number;
  /** What is done to every element of the result. */
  readonly epilogue: LoopStep | null;
  /** For each factor the norm that gives it, if the product is to compute that itself. */
  readonly norms: Readonly<Record<Side, NativeStep | null>>;
}

/** The product that a step asks for. */
export function problemOf({ inputs, outputs, epilogue, prologues }: KernelStep): Problem {
  const [left, right] = inputs as [Operand, Operand];
  const [m, k] = left.shape.slice(-2) as [number, number];
  const n = right.shape.at(-1)!;
  const batchShape = left.shape.slice(0, -2);
  const batch = product(batchShape);
  const norms = { left: prologues?.[0] ?? null, right: prologues?.[1] ?? null };
  return { m, n, k, batchShape, batch, left, right, output: outputs[0]!, epilogue, norms };
}

/** The name of a product, for profiles. */
export function nameOf({ m, n, k, batch, epilogue }: Problem): string {
  const size = `${batch > 1 ? `${batch}x` : ""}${m}x${n}x${k}`;
  return `matmul ${size}${epilogue === null ? "" : `, ${epilogue.name}`}`;
}

/** Which of the factors. */
export type Side = "left" | "right";

/** An axis of a factor: one that the result has too, or the one that is summed over. */
export type Axis = "outer" | "summed";

/** Sizes and strides of a factor by what its axes mean. */
export interface Layout {
  readonly sizes: Readonly<Record<Axis, number>>;
  /** 0 along an axis of one element. */
  readonly strides: Readonly<Record<Axis, number>>;
  /** The axis that neighbours in memory lie along. */
  readonly near: Axis;
}

/** How a factor lies in memory. */
export function layoutOf(side: Side, { shape, strides }: Operand): Layout {
  const rank = shape.length;
  const [outer, summed] = side === "left" ? [rank - 2, rank - 1] : [rank - 1, rank - 2];
  const stride = (axis: number): number => (shape[axis] === 1 ? 0 : strides[axis]!);
  // Along an axis whose elements are one and the same there are no neighbours.
  const distance = (axis: number): number => Math.abs(stride(axis)) || Infinity;
  return {
    sizes: { outer: shape[outer]!, summed: shape[summed]! },
    strides: { outer: stride(outer), summed: stride(summed) },
    near: distance(summed) < distance(outer) ? "summed" : "outer",
  };
}

/** What a shader may ask of a factor. */
export interface FactorAccess {
  /** Which one; its identifiers begin with it. */
  readonly side: Side;
  /** How it lies in memory. */
  readonly layout: Layout;
  /** Elements that `at` gives: 4 are neighbours along the near axis. */
  readonly width: Width;
  /** A statement that finds the matrix in its batch. */
  base(): string;
  /** The element at these coordinates, or the four that begin there, as `f32`. */
  at(outer: string, summed: string): string;
}

/** A factor in a shader, which sees the coordinates of the batch as `b0`, `b1`, … */
export class Factor implements FactorAccess {
  readonly side: Side;
  readonly layout: Layout;
  readonly width: Width;
  readonly #operand: Operand;
  readonly #shader: ShaderBuilder;
  readonly #slot: Slot;

  constructor(shader: ShaderBuilder, side: Side, operand: Operand, width: Width) {
    this.side = side;
    this.layout = layoutOf(side, operand);
    this.width = width;
    this.#operand = operand;
    this.#shader = shader;
    this.#slot = shader.slot(operand.buffer, operand.dtype, width);
  }

  base(): string {
    const batch = this.#operand.shape.slice(0, -2).map((_, axis) => `b${axis}`);
    return `let ${this.side}_base = ${indexIn(this.#operand, batch)};`;
  }

  at(outer: string, summed: string): string {
    const { strides } = this.layout;
    const term = (coordinate: string, stride: number): string =>
      stride === 0 ? "" : ` + (${coordinate}) * ${stride}`;
    const place = `${this.side}_base${term(outer, strides.outer)}${term(summed, strides.summed)}`;
    const value = this.#shader.load(this.#slot, this.width === 4 ? `(${place}) >> 2` : place);
    return this.#operand.dtype === "int8" ? `f32(${value})` : value;
  }
}

/** Whether the elements of a factor can be read four at a time. */
function isInVectors(shader: ShaderBuilder, side: Side, operand: Operand): boolean {
  const { sizes, strides, near } = layoutOf(side, operand);
  const { shape, offset } = operand;
  const batch = shape.slice(0, -2).map((size, axis) => (size === 1 ? 0 : operand.strides[axis]!));
  const far = near === "outer" ? strides.summed : strides.outer;
  return (
    shader.holdsVectors(operand.dtype) &&
    strides[near] === 1 &&
    [sizes[near], offset, far, ...batch].every((number) => number % 4 === 0)
  );
}

/** The widths in which both factors can be read. */
export function widthsOf(
  shader: ShaderBuilder,
  { left, right, epilogue }: Problem,
): Readonly<Record<Side, Width>> {
  const width = (side: Side, operand: Operand): Width =>
    // A buffer is bound once, and an epilogue reads single elements.
    isInVectors(shader, side, operand) && epilogue?.buffers.includes(operand.buffer) !== true
      ? 4
      : 1;
  const widths = { left: width("left", left), right: width("right", right) };
  const isSame = left.buffer === right.buffer && widths.left !== widths.right;
  return isSame ? { left: 1, right: 1 } : widths;
}
