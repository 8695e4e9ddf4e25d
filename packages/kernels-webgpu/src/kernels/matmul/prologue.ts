/** The norm that a product begins with. */

import type { Operand } from "@x/tensor/device";
import { constantCode } from "../../wgsl/functions.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import type { Norm } from "./norm.js";
import type { Factor } from "./problem.js";

/** Writes how a shader normalises the vectors of a factor, of which it has at most four. */
export class Prologue {
  readonly #shader: ShaderBuilder;
  readonly #norm: Norm;
  readonly #factor: Factor;

  constructor(shader: ShaderBuilder, norm: Norm, factor: Factor) {
    this.#shader = shader;
    this.#norm = norm;
    this.#factor = factor;
  }

  /** Statements that find `means` and `scales`, of a vector in each component. */
  statements(invocations: number): string {
    const { outer: rows, summed: size } = this.#factor.layout.sizes;
    const { isCentred, eps } = this.#norm;
    const { width } = this.#factor;
    const joined = 16;
    this.#shader.declare(`var<workgroup> norm_parts: array<vec4f, ${invocations}>;
var<workgroup> norm_sums: array<vec4f, ${joined}>;
fn sumOfRows(own: vec4f, lane: i32) -> vec4f {
workgroupBarrier();
norm_parts[lane] = own;
workgroupBarrier();
if (lane < ${joined}) {
var sum = vec4f();
for (var i = lane; i < ${invocations}; i += ${joined}) { sum += norm_parts[i]; }
norm_sums[lane] = sum;
}
workgroupBarrier();
var sum = vec4f();
for (var i = 0; i < ${joined}; i++) { sum += norm_sums[i]; }
return sum;
}`);
    const constant = (value: number): string =>
      constantCode(value, "float32", this.#shader.helpers);
    const one = width === 4 ? "vec4f(1.0)" : "";
    const sum = (x: string): string => (width === 4 ? `dot(${x}, ${one})` : x);
    const each = (value: (row: number) => string): string =>
      `vec4f(${[0, 1, 2, 3].map((row) => (row < rows ? value(row) : "0.0")).join(", ")})`;
    const overRow = (line: string): string =>
      `for (var p = lane * ${width}; p < ${size}; p += ${invocations * width}) { ${line} }`;
    const at = (row: number): string => this.#factor.at(String(row), "p");
    const centred = (row: number): string => `(${at(row)} - means[${row}])`;
    const mean = isCentred
      ? `${overRow(`means += ${each((row) => sum(at(row)))};`)}
means = sumOfRows(means, lane) * ${constant(1 / size)};`
      : "";
    const square = (row: number): string =>
      width === 4 ? `dot(${centred(row)}, ${centred(row)})` : `${centred(row)} * ${centred(row)}`;
    return `var means = vec4f();
${mean}
var scales = vec4f();
${overRow(`scales += ${each(square)};`)}
scales = 1 / sqrt(sumOfRows(scales, lane) * ${constant(1 / size)} + ${constant(eps)});`;
  }

  /** Elements `p` of vector `row`, normalised. */
  at(row: number): string {
    const own = `(${this.#factor.at(String(row), "p")} - means[${row}]) * scales[${row}]`;
    const { weight, bias } = this.#norm;
    const shared = (operand: Operand): string => {
      const { width } = this.#factor;
      const slot = this.#shader.slot(operand.buffer, "float32", width);
      const place = `${operand.offset} + p`;
      return this.#shader.load(slot, width === 4 ? `(${place}) >> 2` : place);
    };
    return `(${own}${weight ? ` * ${shared(weight)}` : ""}${bias ? ` + ${shared(bias)}` : ""})`;
  }
}
