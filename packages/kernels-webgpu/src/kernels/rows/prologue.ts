/** Norms of a few rows that a kernel computes for itself, instead of reading what another has stored. */

import type { NativeStep } from "@x/tensor/device";
import type { LoweringContext } from "../../native.js";
import { normalize, normalizedRows, normInputs } from "./normalization.js";
import { RowShader, type RowHost } from "./row-shader.js";

/** Normalized rows in the memory of each workgroup, one after the other. */
export class NormalizedRows {
  /** The statement that makes them; all invocations take part. */
  readonly code: string;
  readonly #name: string;
  readonly #isInVectors: boolean;

  /** Of the rows of `norm` the workgroup has `count`. */
  constructor(norm: NativeStep, count: number, host: RowHost, context: LoweringContext) {
    const { x, weight, bias } = normInputs(norm);
    const { size } = normalizedRows(norm.node);
    const shape = { outer: count, size, inner: 1 };
    const row = new RowShader(
      context,
      shape,
      { elements: [x], shared: [weight, bias] },
      count,
      host,
    );
    this.#name = `${host.prefix}rows`;
    this.#isInVectors = row.type === "vec4f";
    const length = (count * size) / (this.#isInVectors ? 4 : 1);
    row.shader.declare(`var<workgroup> ${this.#name}: array<${row.type}, ${length}>;`);
    row.eachRow(() => row.keep(this.#name, normalize(row, norm).value));
    this.code = `${row.code}\nworkgroupBarrier();`;
  }

  /** The element with this number among those of all rows. */
  at(index: string): string {
    if (!this.#isInVectors) return `${this.#name}[${index}]`;
    return `${this.#name}[(${index}) / 4][(${index}) % 4]`;
  }

  /** The four elements from this one on, whose number is a multiple of four. */
  vectorAt(index: string): string {
    if (this.#isInVectors) return `${this.#name}[(${index}) / 4]`;
    const elements = [0, 1, 2, 3].map((i) => `${this.#name}[${index} + ${i}]`);
    return `vec4f(${elements.join(", ")})`;
  }
}

/** Bytes of workgroup memory that so many rows of a norm take, with what joins their sums. */
export function prologueBytes(norm: NativeStep, count: number, invocations: number): number {
  return 4 * (normalizedRows(norm.node).size * count + invocations + Math.ceil(invocations / 16));
}
