/**
 * Two products of few vectors in one launch, where the first gives what the second takes: a workgroup
 * computes some results of the first and multiplies them with what goes with them. That is a part of
 * every result of the second; whoever reads these adds the parts up.
 */

import type { Expression, LoopStep } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import { declareEpilogue } from "../../loop/epilogue.js";
import type { KernelStep, LoweringContext, DeviceLimits } from "../../native.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { normBuffers } from "../rows/normalization.js";
import { prologueBytes } from "../rows/prologue.js";
import { Factor, isInVectors, layoutOf, nameOf, type Problem, problemOf } from "./problem.js";
import type { Result } from "./result.js";
import { invocationsOf, mostVectors, takesNorms, VectorProduct } from "./vector.js";

/** Most parts; each reader goes over all of them. */
const mostParts = 48;
/** Bytes that a reader may have to go over. */
const mostPartBytes = 160 * 1024;
/** Bytes of both matrices that a workgroup may have to read alone: more take longer than a launch. */
const mostMatrixBytes = 512 * 1024;
/** Results of the first product that a workgroup has are a multiple of this. */
const stepOfSlice = 16;

/** Results of the first product for each workgroup. */
function sliceOf({ n }: Problem): number {
  return stepOfSlice * Math.ceil(n / (mostParts * stepOfSlice));
}

/** The number of parts that a product and its feed leave; 0 where they are not done together. */
export function partsOf(feed: KernelStep, step: KernelStep, context: DeviceLimits): number {
  const [first, second] = [problemOf(feed), problemOf(step)];
  const slice = sliceOf(first);
  const parts = Math.ceil(first.n / slice);
  const isSmall =
    parts * second.m * second.n * 4 <= mostPartBytes &&
    slice * (first.k + second.n) * 4 <= mostMatrixBytes;
  return isSmall && follows(first, second) && fits(first, second, slice, context) ? parts : 0;
}

/** Whether the second product takes all that the first gives, as vectors on the left. */
function follows(first: Problem, second: Problem): boolean {
  const { sizes, strides } = layoutOf("left", second.left);
  return (
    first.batch === 1 &&
    second.batch === 1 &&
    first.m <= mostVectors &&
    first.k > 0 &&
    second.m === first.m &&
    second.k === first.n &&
    second.left.offset === 0 &&
    (sizes.summed === 1 || strides.summed === 1) &&
    (sizes.outer === 1 || strides.outer === first.n) &&
    second.norms.left === null &&
    second.norms.right === null &&
    (second.epilogue === null || isSum(second.epilogue, second.output))
  );
}

/** Whether there is room for both in a shader. */
function fits(first: Problem, second: Problem, slice: number, context: DeviceLimits): boolean {
  const norm = first.norms.left;
  if (norm !== null && !takesNorms(first, context)) return false;
  const own = [
    ...(norm === null ? [first.left.buffer] : normBuffers(norm)),
    first.right.buffer,
    ...(first.epilogue?.buffers ?? []).filter((buffer) => buffer !== first.output),
  ];
  const added = (second.epilogue?.buffers ?? []).filter((buffer) => buffer !== second.output);
  const buffers = new Set([...own, second.right.buffer, ...added, second.output]);
  const invocations = invocationsOf(context);
  const bytes =
    4 * first.m * (slice + 4 * invocations) +
    (norm === null ? 0 : prologueBytes(norm, first.m, invocations));
  return (
    bytes <= context.workgroupBytes &&
    buffers.size <= context.mostBuffers &&
    // A buffer has one width, and what is stored on the way is not read.
    ![...own, ...added].includes(second.right.buffer) &&
    !own.some((buffer) => buffer === norm?.parts?.sums && added.includes(buffer))
  );
}

/** Whether a loop adds something to each element of a buffer, so that one of the parts can take it. */
function isSum({ kernel, buffers }: LoopStep, buffer: number): boolean {
  const { body, stores } = kernel;
  const depends: boolean[] = [];
  const isFitting = body.every((expression: Expression, at) => {
    const { kind } = expression;
    const operands = kind === "apply" ? expression.operands : [];
    const own = operands.filter((operand) => depends[operand]);
    const isElement = kind === "load" && buffers[expression.slot] === buffer;
    depends[at] = isElement || own.length > 0;
    if (kind !== "apply" || own.length === 0) return true;
    return expression.function === "add" && own.length === 1 && expression.dtype === "float32";
  });
  return isFitting && depends[stores[0]!.expression] === true;
}

/** The launch of a product and its feed, which leaves parts in the buffer of the output. */
export function lowerChain(
  step: KernelStep,
  { product: feed, parts: buffer }: NonNullable<KernelStep["feed"]>,
  context: LoweringContext,
): Launch {
  const [first, second] = [problemOf(feed), problemOf(step)];
  const { m, n, output, epilogue } = second;
  const slice = sliceOf(first);
  const shader = context.shader();
  const alone = [...first.alone, ...second.alone];
  const product = new VectorProduct({ ...first, alone }, shader, context);
  const { block, invocations, results } = product;
  const isWide =
    layoutOf("right", second.right).near === "summed" && isInVectors(shader, "right", second.right);
  const matrix = new Factor(shader, "right", second.right, isWide ? 4 : 1);
  const parts = shader.slot(buffer, "float32");
  if (epilogue !== null) declareEpilogue(shader, epilogue, output, "finishSum");
  shader.declare(`var<workgroup> middle: array<f32, ${m * slice}>;`);

  const each = (line: (vector: number) => string): string =>
    Array.from({ length: m }, (_, vector) => line(vector)).join("\n");
  const numbers = (vector: number): string => {
    const at = `middle[${vector * slice} + p`;
    return isWide ? `vec4f(${at}], ${at} + 1], ${at} + 2], ${at} + 3])` : `${at}]`;
  };
  const total = (vector: number): string =>
    isWide ? `dot(sum${vector}, vec4f(1.0))` : `sum${vector}`;
  const body = `let first = group * ${slice};
let end = min(first + ${slice}, ${results});
{
${product.beginning}
for (var start = first; start < end; start += ${block}) {
${product.sums("start", "end", middleOf(shader, first, slice))}
workgroupBarrier();
}
}
${matrix.base()}
for (var column = lane; column < ${n}; column += ${invocations}) {
${each((vector) => `var sum${vector} = ${isWide ? "vec4f()" : "0.0"};`)}
for (var p = 0; p < end - first; p += ${isWide ? 4 : 1}) {
let values = ${matrix.at("column", "first + p")};
${each((vector) => `sum${vector} += ${numbers(vector)} * values;`)}
}
${each(
  (vector) => `{
let place = ${vector * n} + column;
var value = ${total(vector)};
${epilogue === null ? "" : "if (group == 0) { value = finishSum(place, value); }"}
${shader.store(parts, `group * ${m * n} + place`, "value")}
}`,
)}
}`;
  const name = `${nameOf(first)}, ${nameOf(second)}`;
  return shader.perGroup(name, Math.ceil(results / slice), invocations, body);
}

/** The results of the first product in workgroup memory. */
function middleOf(shader: ShaderBuilder, { n, epilogue, output }: Problem, slice: number): Result {
  if (epilogue !== null) declareEpilogue(shader, epilogue, output, "finish");
  const finished = epilogue === null ? "value" : `finish(row * ${n} + column, value)`;
  return {
    isInVectors: false,
    store: (row, column, value) => `{
let row = ${row};
let column = ${column};
let value = ${value};
middle[row * ${slice} + column - first] = ${finished};
}`,
  };
}
