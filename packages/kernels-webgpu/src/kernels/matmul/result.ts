/** Where the elements of a product go. */

import { declareEpilogue } from "../../loop/epilogue.js";
import type { ShaderBuilder, Slot } from "../../wgsl/shader.js";
import { bytesPerElement } from "@x/tensor/device";
import type { LoweringContext } from "../../native.js";
import type { Launch } from "../../launch.js";
import { nameOf, type Problem } from "./problem.js";

/** The result of a product, or a part of it, in the shader that computes it. */
export interface Result {
  /** Whether four neighbours in a row are stored at once. */
  readonly isInVectors: boolean;
  /** A statement that stores the element at this row of the batch, or the four that begin there. */
  store(row: string, column: string, value: string): string;
}

/** The result in the buffer where it belongs, finished by the epilogue. */
export function finalResult(
  shader: ShaderBuilder,
  { m, n, output, epilogue }: Problem,
  canTakeVectors: boolean,
): Result {
  const isInVectors = canTakeVectors && n % 4 === 0;
  const slot = shader.slot(output, "float32", isInVectors ? 4 : 1);
  if (epilogue !== null) declareEpilogue(shader, epilogue, output);
  const finished = (value: string): string => {
    if (epilogue === null) return value;
    if (!isInVectors) return `finish(place, ${value})`;
    const lanes = ["x", "y", "z", "w"].map((lane, i) => `finish(place + ${i}, value.${lane})`);
    return `vec4f(${lanes.join(", ")})`;
  };
  return storing(shader, slot, isInVectors, `batch * ${m * n}`, n, finished);
}

/** Sums over a part of the summed axis, where the shader sees its number as `part`. */
export class PartialSums {
  readonly #problem: Problem;
  readonly #parts: number;
  readonly #buffer: number;

  constructor(problem: Problem, parts: number, context: LoweringContext) {
    this.#problem = problem;
    this.#parts = parts;
    const { batch, m, n } = problem;
    this.#buffer = context.workspace(parts * batch * m * n * bytesPerElement("float32"));
  }

  /** The result of one part. */
  result(shader: ShaderBuilder): Result {
    const { batch, m, n } = this.#problem;
    const isInVectors = n % 4 === 0;
    const slot = shader.slot(this.#buffer, "float32", isInVectors ? 4 : 1);
    return storing(shader, slot, isInVectors, `(part * ${batch} + batch) * ${m * n}`, n);
  }

  /** Adds the parts up. */
  join(context: LoweringContext): Launch {
    const { batch, m, n, output, epilogue } = this.#problem;
    const count = batch * m * n;
    const shader = context.shader();
    const partial = shader.slot(this.#buffer, "float32");
    const slot = shader.slot(output, "float32");
    if (epilogue !== null) declareEpilogue(shader, epilogue, output);
    const body = `var sum = 0.0;
for (var part = 0; part < ${this.#parts}; part++) { sum += ${shader.load(partial, `part * ${count} + item`)}; }
${shader.store(slot, "item", epilogue === null ? "sum" : "finish(item, sum)")}`;
    return shader.perItem(`${nameOf(this.#problem)}, joined`, count, body);
  }
}

function storing(
  shader: ShaderBuilder,
  slot: Slot,
  isInVectors: boolean,
  first: string,
  n: number,
  finished: (value: string) => string = (value) => value,
): Result {
  return {
    isInVectors,
    store: (row, column, value) => `{
let place = ${first} + (${row}) * ${n} + ${column};
let value = ${value};
${shader.store(slot, isInVectors ? "place >> 2" : "place", finished("value"))}
}`,
  };
}
