/** Vectors that a product normalizes itself, each workgroup all of them. */

import type { NativeStep } from "@x/tensor/device";
import type { LoweringContext, PrologueContext } from "../../native.js";
import type { ShaderBuilder, Width } from "../../wgsl/shader.js";
import { normalizedRows, normInputs } from "../rows/normalization.js";
import { NormalizedRows, prologueBytes } from "../rows/prologue.js";
import { layoutOf, type FactorAccess, type Layout, type Problem, type Side } from "./problem.js";

/** Whether a product can normalize this factor itself: a few whole rows, each a vector of it. */
export function canNormalize(
  problem: Problem,
  side: Side,
  invocations: number,
  { workgroupBytes, mostBuffers }: PrologueContext,
): boolean {
  const { batch, k, norms, left, right, epilogue, output } = problem;
  const norm = norms[side]!;
  const { sizes, strides } = layoutOf(side, problem[side]);
  const { outer, size } = normalizedRows(norm.node);
  const isWhole =
    batch === 1 &&
    size === k &&
    outer === sizes.outer &&
    problem[side].offset === 0 &&
    (k === 1 || strides.summed === 1) &&
    (outer === 1 || strides.outer === k);
  const { x, weight, bias } = normInputs(norm);
  const other = side === "left" ? right : left;
  const read = [x, weight, bias].flatMap((operand) => (operand === null ? [] : [operand.buffer]));
  const buffers = new Set([...read, other.buffer, output, ...(epilogue?.buffers ?? [])]);
  const matrix = layoutOf(side === "left" ? "right" : "left", other);
  // An invocation may have four neighbouring sums of each vector.
  const sums = matrix.near === "outer" && matrix.sizes.outer % 4 === 0 ? 4 : 1;
  const bytes = prologueBytes(norm, outer, invocations) + 4 * sums * invocations * outer;
  return (
    isWhole &&
    !read.includes(other.buffer) &&
    buffers.size <= mostBuffers &&
    bytes <= workgroupBytes
  );
}

/** The vectors of a product in workgroup memory. */
export class NormalizedFactor implements FactorAccess {
  readonly side: Side;
  readonly layout: Layout;
  readonly width: Width;
  /** The statement that makes them; all invocations take part. */
  readonly code: string;
  readonly #rows: NormalizedRows;
  readonly #k: number;

  constructor(
    shader: ShaderBuilder,
    side: Side,
    problem: Problem,
    norm: NativeStep,
    width: Width,
    invocations: number,
    context: LoweringContext,
  ) {
    this.side = side;
    this.layout = layoutOf(side, problem[side]);
    this.width = width;
    this.#k = problem.k;
    const alone = problem.epilogue?.buffers ?? [];
    const host = { shader, invocations, prefix: "norm_", alone };
    this.#rows = new NormalizedRows(norm, this.layout.sizes.outer, host, context);
    this.code = this.#rows.code;
  }

  base(): string {
    return "";
  }

  at(outer: string, summed: string): string {
    const index = `(${outer}) * ${this.#k} + ${summed}`;
    return this.width === 4 ? this.#rows.vectorAt(index) : this.#rows.at(index);
  }
}
