/** The parts of a fused loop as WGSL. */

import type { DType } from "@x/tensor";
import type { Affine, Expression, LoopKernel, LoopStep, Store } from "@x/tensor/device";
import { applyFunction, constantCode } from "../wgsl/functions.js";
import type { ShaderBuilder, Slot } from "../wgsl/shader.js";

/** Writes counters, expressions and stores of a loop into a shader, which binds what they use. */
export class LoopWriter {
  /** The shader. */
  readonly shader: ShaderBuilder;
  readonly #step: LoopStep;
  readonly #types = new Map<number, DType>();

  constructor(shader: ShaderBuilder, step: LoopStep) {
    this.shader = shader;
    this.#step = step;
    const { body, epilogue, stores } = step.kernel;
    for (const expression of [...body, ...epilogue]) {
      if (expression.kind === "load") this.#types.set(expression.slot, expression.stored);
    }
    for (const { slot, stored } of stores) this.#types.set(slot, stored);
  }

  get #kernel(): LoopKernel {
    return this.#step.kernel;
  }

  #slot(slot: number): Slot {
    return this.shader.slot(this.#step.buffers[slot]!, this.#types.get(slot)!);
  }

  /** Declares the counters of the loops from `first` to `end` by taking `position` apart. */
  counters(position: string, first: number, end: number): string {
    const { extents } = this.#kernel;
    const lines: string[] = [];
    let rest = position;
    for (let loop = end - 1; loop >= first; loop--) {
      if (loop === first) lines.push(`let c${loop} = ${rest};`);
      else {
        lines.push(`let c${loop} = ${rest} % ${extents[loop]};`);
        lines.push(`let r${loop} = ${rest} / ${extents[loop]};`);
        rest = `r${loop}`;
      }
    }
    return lines.join("\n");
  }

  #affine({ offset, strides }: Affine): string {
    const terms = strides.flatMap((stride, loop) => {
      if (stride === 0) return [];
      return [stride === 1 ? `c${loop}` : `c${loop} * ${stride}`];
    });
    if (offset !== 0 || terms.length === 0) terms.push(String(offset));
    return terms.join(" + ");
  }

  /**
   * Statements that declare `e0`, `e1`, … for the expressions of a list. The result of a reduction is
   * called `reduced`.
   */
  list(list: readonly Expression[]): string[] {
    return list.map((expression, i) => {
      const name = `e${i}`;
      const code = this.#expression(expression, list);
      const guard = expression.kind === "load" ? expression.guard : undefined;
      if (guard === undefined) return `let ${name} = ${code};`;
      const zero = constantCode(0, expression.dtype, this.shader.helpers);
      return `var ${name} = ${zero};\nif (e${guard}) { ${name} = ${code}; }`;
    });
  }

  #expression(expression: Expression, list: readonly Expression[]): string {
    const { helpers } = this.shader;
    switch (expression.kind) {
      case "load":
        return this.shader.load(this.#slot(expression.slot), this.#affine(expression.index));
      case "constant":
        return constantCode(expression.value, expression.dtype, helpers);
      case "scalar":
        return this.shader.scalar(this.#step.scalars[expression.slot]!, expression.dtype);
      case "index":
        return `i32(${this.#affine(expression.index)})`;
      case "inside":
        return expression.conditions
          .map(({ index, size }) => {
            const code = this.#affine(index);
            return `(${code}) >= 0 && (${code}) < ${size}`;
          })
          .join(" && ");
      case "reduced":
        return "reduced";
      case "apply": {
        const operands = expression.operands.map((operand) => {
          const source = list[operand]!;
          return {
            code: `e${operand}`,
            dtype: source.dtype,
            ...(source.kind === "constant" && { constant: source.value }),
          };
        });
        return applyFunction(expression.function, operands, expression.dtype, helpers);
      }
    }
  }

  /** Statements that store what the kernel stores. */
  stores(): string {
    const store = ({ slot, index, expression }: Store): string =>
      this.shader.store(this.#slot(slot), this.#affine(index), `e${expression}`);
    return this.#kernel.stores.map(store).join("\n");
  }
}
