/** Windows at a position known only at run time: read, and replaced (how decode caches are written). */

import type { NativeStep, Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { coordinatesOf, denseView, indexIn, product } from "../view.js";
import { placeAt } from "./place.js";

/** Declares `start`, moved so that a window of `length` fits. */
function startCode(
  shader: ShaderBuilder,
  start: Operand,
  x: Operand,
  axis: number,
  length: number,
): string {
  const slot = shader.slot(start.buffer, start.dtype);
  return `let start = ${placeAt(shader, slot, indexIn(start, []), x.shape[axis]! - length)};`;
}

function readWindow({ name, node, inputs, outputs }: NativeStep, context: LoweringContext): Launch {
  const axis = node.attributes.axis as number;
  const [x, start] = inputs as [Operand, Operand];
  const { shape } = node.outputs[0]!;
  const shader = context.shader();
  const target = shader.slot(outputs[0]!, x.dtype);
  const from = shape.map((_, d) => (d === axis ? `start + c${d}` : `c${d}`));
  const value = shader.load(shader.slot(x.buffer, x.dtype), indexIn(x, from));
  const body = `${coordinatesOf("item", shape, "c")}
${startCode(shader, start, x, axis, shape[axis]!)}
${shader.store(target, "item", value)}`;
  return shader.perItem(name, product(shape), body);
}

/** The kernel of `dynamicSlice`. */
export const dynamicSliceKernel: NativeKernel = {
  op: "dynamicSlice",
  acceptsView: () => true,
  lower: (step, context) => [readWindow(step, context)],
};

/** Writes the window and nothing else. */
function writeWindow(
  { name, node, inputs, outputs }: NativeStep,
  context: LoweringContext,
): Launch {
  const axis = node.attributes.axis as number;
  const [x, source, start] = inputs as [Operand, Operand, Operand];
  const { shape } = source;
  const target = denseView(outputs[0]!, x.dtype, x.shape);
  const shader = context.shader();
  const to = shape.map((_, d) => (d === axis ? `start + c${d}` : `c${d}`));
  const from = shape.map((_, d) => `c${d}`);
  const value = shader.load(shader.slot(source.buffer, source.dtype), indexIn(source, from));
  const body = `${coordinatesOf("item", shape, "c")}
${startCode(shader, start, x, axis, shape[axis]!)}
${shader.store(shader.slot(target.buffer, target.dtype), indexIn(target, to), value)}`;
  return shader.perItem(name, product(shape), body);
}

/** Writes everything: the window from its source, the rest from the input. */
function writeAll({ name, node, inputs, outputs }: NativeStep, context: LoweringContext): Launch {
  const axis = node.attributes.axis as number;
  const [x, source, start] = inputs as [Operand, Operand, Operand];
  const shader = context.shader();
  const target = shader.slot(outputs[0]!, x.dtype);
  const coordinates = x.shape.map((_, d) => `c${d}`);
  const other = shader.load(shader.slot(x.buffer, x.dtype), indexIn(x, coordinates));
  const lines = [coordinatesOf("item", x.shape, "c")];
  if (product(source.shape) === 0) {
    lines.push(shader.store(target, "item", other));
  } else {
    const from = indexIn(source, coordinates.with(axis, "within"));
    const value = shader.load(shader.slot(source.buffer, source.dtype), from);
    lines.push(
      startCode(shader, start, x, axis, source.shape[axis]!),
      `let within = c${axis} - start;`,
      `if (within >= 0 && within < ${source.shape[axis]}) { ${shader.store(target, "item", value)} }`,
      `else { ${shader.store(target, "item", other)} }`,
    );
  }
  return shader.perItem(name, product(x.shape), lines.join("\n"));
}

/** The kernel of `dynamicUpdate`. Where the output is the input's buffer, only the window is written. */
export const dynamicUpdateKernel: NativeKernel = {
  op: "dynamicUpdate",
  acceptsView: () => true,
  lower: (step, context) => {
    const [x, source] = step.inputs as [Operand, Operand];
    if (step.outputs[0] !== x.buffer) return [writeAll(step, context)];
    return product(source.shape) === 0 ? [] : [writeWindow(step, context)];
  },
};
