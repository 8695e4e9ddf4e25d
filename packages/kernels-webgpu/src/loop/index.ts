/**
 * Fused loops as WGSL.
 *
 * Every invocation computes one output. A long reduction is shared out over a workgroup where the
 * outputs alone would not fill the device, or where neighbouring invocations would read places far
 * from each other.
 */

import type { Affine, Expression, LoopKernel, LoopStep, Reducer, Store } from "@x/tensor/device";
import type { DType } from "@x/tensor";
import type { Launch } from "../launch.js";
import type { LoweringContext } from "../native.js";
import { checkElements } from "../sizes.js";
import { applyFunction, constantCode, wgslType } from "../wgsl/functions.js";
import type { ShaderBuilder, Slot } from "../wgsl/shader.js";

/** Reductions up to this length are one invocation's work. */
const shortReduction = 32;
/** Outputs from which on a device is full of single invocations. */
const manyOutputs = 8192;
/** Invocations that share a reduction. */
const groupSize = 128;
/** Elements that are joined before they meet the rest: sums of many numbers lose less that way. */
const blockSize = 64;

/** The launches of a fused loop. */
export function lowerLoop(
  { name, kernel, buffers, scalars }: LoopStep,
  context: LoweringContext,
): readonly Launch[] {
  const writer = new LoopWriter(context.shader(), kernel, buffers, scalars);
  return [
    kernel.reducer === null ? writer.elementwise(name) : writer.reduction(name, kernel.reducer),
  ];
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((a, b) => a * b, 1);
}

class LoopWriter {
  readonly #shader: ShaderBuilder;
  readonly #kernel: LoopKernel;
  readonly #slots: readonly (Slot | undefined)[];
  readonly #scalars: readonly number[];

  constructor(
    shader: ShaderBuilder,
    kernel: LoopKernel,
    buffers: readonly number[],
    scalars: readonly number[],
  ) {
    this.#shader = shader;
    this.#kernel = kernel;
    this.#scalars = scalars;
    const types = new Map<number, DType>();
    for (const expression of [...kernel.body, ...kernel.epilogue]) {
      if (expression.kind === "load") types.set(expression.slot, expression.stored);
    }
    for (const { slot, stored } of kernel.stores) types.set(slot, stored);
    this.#slots = buffers.map((buffer, slot) => {
      const dtype = types.get(slot);
      return dtype && this.#shader.slot(buffer, dtype);
    });
  }

  elementwise(name: string): Launch {
    const { extents, body } = this.#kernel;
    const text = [this.#counters("item", 0, extents.length), ...this.#list(body), this.#stores()];
    return this.#shader.perItem(name, product(extents), text.join("\n"));
  }

  reduction(name: string, reducer: Reducer): Launch {
    const { extents, outputRank, body } = this.#kernel;
    const outputs = product(extents.slice(0, outputRank));
    const length = product(extents.slice(outputRank));
    checkElements(name, length);
    const isNear = body.some(
      (expression) =>
        expression.kind === "load" && Math.abs(expression.index.strides.at(-1)!) === 1,
    );
    const isOneEach = length <= shortReduction || (outputs >= manyOutputs && !isNear);
    return isOneEach
      ? this.#reduceAlone(name, reducer, outputs, length)
      : this.#reduceTogether(name, reducer, outputs, length);
  }

  #reduceAlone(name: string, reducer: Reducer, outputs: number, length: number): Launch {
    const { outputRank } = this.#kernel;
    const text = [
      this.#counters("item", 0, outputRank),
      this.#accumulate(reducer, "0", String(length), "1"),
      this.#result(),
      this.#epilogue(reducer),
    ];
    return this.#shader.perItem(name, outputs, text.join("\n"));
  }

  #reduceTogether(name: string, reducer: Reducer, outputs: number, length: number): Launch {
    const { outputRank } = this.#kernel;
    const type = wgslType(this.#reducedType());
    this.#shader.declare(`var<workgroup> shared_values: array<${type}, ${groupSize}>;`);
    if (isArg(reducer)) {
      this.#shader.declare(`var<workgroup> shared_places: array<i32, ${groupSize}>;`);
    }
    const keep = isArg(reducer)
      ? "shared_values[lane] = total; shared_places[lane] = place;"
      : "shared_values[lane] = total;";
    const text = [
      this.#counters("group", 0, outputRank),
      this.#accumulate(reducer, "lane", String(length), String(groupSize)),
      keep,
      `for (var half = ${groupSize / 2}; half > 0; half /= 2) {`,
      "workgroupBarrier();",
      `if (lane < half) {`,
      "let other = shared_values[lane + half];",
      ...(isArg(reducer) ? ["let otherPlace = shared_places[lane + half];"] : []),
      this.#join(reducer, "other", "otherPlace"),
      keep,
      "}",
      "}",
      "if (lane > 0) { return; }",
      this.#result(),
      this.#epilogue(reducer),
    ];
    return this.#shader.perGroup(name, outputs, groupSize, text.join("\n"));
  }

  /** The type that is reduced in: bool as 0 and 1, since WGSL does not order it. */
  #reducedType(): DType {
    const { dtype } = this.#kernel.body.at(-1)!;
    return dtype === "bool" ? "uint32" : dtype;
  }

  /** A statement that names the result of the reduction. */
  #result(): string {
    const isBool = this.#kernel.body.at(-1)!.dtype === "bool";
    return `let reduced = ${isBool ? "total != 0u" : "total"};`;
  }

  /** `total` (and for the arg forms `place`) of the elements from `first` in steps of `step`. */
  #accumulate(reducer: Reducer, first: string, length: string, step: string): string {
    const { extents, outputRank, body } = this.#kernel;
    const type = wgslType(this.#reducedType());
    const neutral = this.#neutral(reducer);
    const counters = this.#counters("at", outputRank, extents.length);
    const last = `e${body.length - 1}`;
    const value = body.at(-1)!.dtype === "bool" ? `u32(${last})` : last;
    const element = [counters, ...this.#list(body)];
    if (reducer === "sum") {
      return [
        `var total = ${neutral};`,
        `for (var start: i32 = ${first}; start < ${length}; start += ${step} * ${blockSize}) {`,
        `var part = ${neutral};`,
        `let end = min(${length}, start + ${step} * ${blockSize});`,
        `for (var at: i32 = start; at < end; at += ${step}) {`,
        ...element,
        `part += ${value};`,
        "}",
        "total += part;",
        "}",
      ].join("\n");
    }
    return [
      `var total: ${type} = ${neutral};`,
      ...(isArg(reducer) ? [`var place: i32 = ${length};`] : []),
      `for (var at: i32 = ${first}; at < ${length}; at += ${step}) {`,
      ...element,
      this.#join(reducer, value, "at"),
      "}",
    ].join("\n");
  }

  #neutral(reducer: Reducer): string {
    const dtype = this.#reducedType();
    const constant = (value: number): string => constantCode(value, dtype, this.#shader.helpers);
    switch (reducer) {
      case "sum":
        return constant(0);
      case "product":
        return constant(1);
      case "max":
      case "argmax":
        return constant(dtype === "float32" ? -Infinity : dtype === "int32" ? -(2 ** 31) : 0);
      case "min":
      case "argmin":
        return constant(
          dtype === "float32" ? Infinity : dtype === "int32" ? 2 ** 31 - 1 : 2 ** 32 - 1,
        );
    }
  }

  /** A statement that joins `value` (found at `place`) with `total`. */
  #join(reducer: Reducer, value: string, place: string): string {
    const dtype = this.#reducedType();
    switch (reducer) {
      case "sum":
        return `total += ${value};`;
      case "product":
        return `total *= ${value};`;
      case "max":
      case "min": {
        const operands = ["total", value].map((code) => ({ code, dtype }));
        const name = reducer === "max" ? "maximum" : "minimum";
        return `total = ${applyFunction(name, operands, dtype, this.#shader.helpers)};`;
      }
      default: {
        // The first of equal extremes; NaN, if there is one, is the extreme.
        const better = reducer === "argmax" ? ">" : "<";
        if (dtype !== "float32") {
          return `if (${value} ${better} total || (${value} == total && ${place} < place)) { total = ${value}; place = ${place}; }`;
        }
        this.#shader.helpers.use("isNan");
        return `if (isNan(total) || isNan(${value})) {
if (isNan(${value}) && (!isNan(total) || ${place} < place)) { total = ${value}; place = ${place}; }
} else if (${value} ${better} total || (${value} == total && ${place} < place)) { total = ${value}; place = ${place}; }`;
      }
    }
  }

  #epilogue(reducer: Reducer): string {
    const { epilogue } = this.#kernel;
    const text = isArg(reducer) ? ["let reducedPlace = place;"] : [];
    return [...text, ...this.#list(epilogue, isArg(reducer)), this.#stores()].join("\n");
  }

  /** Declares the counters of the loops from `first` to `end` by taking `position` apart. */
  #counters(position: string, first: number, end: number): string {
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

  #list(list: readonly Expression[], isArg = false): string[] {
    return list.map((expression, i) => {
      const name = `e${i}`;
      const code = this.#expression(expression, list, isArg);
      const guard = expression.kind === "load" ? expression.guard : undefined;
      if (guard === undefined) return `let ${name} = ${code};`;
      const zero = constantCode(0, expression.dtype, this.#shader.helpers);
      return `var ${name} = ${zero};\nif (e${guard}) { ${name} = ${code}; }`;
    });
  }

  #expression(expression: Expression, list: readonly Expression[], isArg: boolean): string {
    const { helpers } = this.#shader;
    switch (expression.kind) {
      case "load":
        return this.#shader.load(this.#slots[expression.slot]!, this.#affine(expression.index));
      case "constant":
        return constantCode(expression.value, expression.dtype, helpers);
      case "scalar":
        return this.#shader.scalar(this.#scalars[expression.slot]!, expression.dtype);
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
        return isArg ? "reducedPlace" : "reduced";
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

  #stores(): string {
    const store = ({ slot, index, expression }: Store): string =>
      this.#shader.store(this.#slots[slot]!, this.#affine(index), `e${expression}`);
    return this.#kernel.stores.map(store).join("\n");
  }
}

function isArg(reducer: Reducer): boolean {
  return reducer === "argmax" || reducer === "argmin";
}
