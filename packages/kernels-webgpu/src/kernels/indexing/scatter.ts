/**
 * Elements that replace others, or are added to them, at places that are data.
 *
 * There are no atomic floats, and results do not depend on which invocation is first. Where columns
 * are many or short, one invocation walks over each in order. Otherwise the indices are sorted,
 * stably: then all for one place are side by side and still in order, and each place that is named
 * is one invocation's work.
 */

import type { NativeStep, Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import type { ShaderBuilder, Slot } from "../../wgsl/shader.js";
import { sortRows } from "../sort.js";
import { coordinatesOf, denseView, indexIn, product, Rows } from "../view.js";
import { placeAt } from "./place.js";

/** Columns up to this length are walked over. */
const shortColumn = 64;
/** Columns from which on a device is full of single invocations. */
const manyColumns = 8192;

/** Which elements go where: `index` and `source` have one shape. */
interface Scattering {
  readonly name: string;
  readonly target: Operand;
  readonly axis: number;
  readonly index: Operand;
  readonly source: Operand;
  readonly combine: Combine;
}

type Combine = "replace" | "add";

/** The element that comes of `old` and `element`. */
function combined({ combine, source }: Scattering, old: string, element: string): string {
  if (combine === "replace") return element;
  return source.dtype === "bool" ? `(${old} || ${element})` : `${old} + ${element}`;
}

/** Copies what is scattered into. */
function copyBase(name: string, base: Operand, target: number, context: LoweringContext): Launch {
  const shader = context.shader();
  const from = indexIn(
    base,
    base.shape.map((_, axis) => `c${axis}`),
  );
  const value = shader.load(shader.slot(base.buffer, base.dtype), from);
  const body = `${coordinatesOf("item", base.shape, "c")}
${shader.store(shader.slot(target, base.dtype), "item", value)}`;
  return shader.perItem(`${name} base`, product(base.shape), body);
}

/** An invocation for each column of the index. */
function walk(scattering: Scattering, context: LoweringContext): Launch {
  const { target, index, source, axis } = scattering;
  const columns = new Rows(index.shape, axis);
  const shader = context.shader();
  const [to, indices, from] = slots(shader, scattering, index);
  const place = placeAt(shader, indices, columns.at(index, "at"), target.shape[axis]! - 1);
  const element = shader.load(from, columns.at(source, "at"));
  const value = combined(scattering, shader.load(to, "place"), element);
  const body = `${columns.coordinates("item")}
for (var at = 0; at < ${columns.size}; at++) {
let along = ${place};
let place = ${columns.at(target, "along")};
${shader.store(to, "place", value)}
}`;
  return shader.perItem(scattering.name, columns.count, body);
}

/** Axes on which the index is the same everywhere are sorted once. */
function narrowed(index: Operand, axis: number): Operand {
  const shape = index.shape.map((n, d) => (d !== axis && index.strides[d] === 0 ? 1 : n));
  return { ...index, shape };
}

/** An invocation for each index in order; the first, or last, for a place does all of it. */
function walkSorted(scattering: Scattering, context: LoweringContext): readonly Launch[] {
  const { name, target, index, source, axis } = scattering;
  const x = narrowed(index, axis);
  const bytes = 4 * product(x.shape);
  const [values, places] = [context.workspace(bytes), context.workspace(bytes)];
  const last = target.shape[axis]! - 1;
  const sorting = { name: `${name} sort`, x, axis, descending: false, last, values, places };

  const columns = new Rows(index.shape, axis);
  const sorted = denseView(values, "int32", x.shape);
  const shader = context.shader();
  const [to, indices, from] = slots(shader, scattering, sorted);
  const origins = shader.slot(places, "int32");
  const along = (at: string): string => placeAt(shader, indices, columns.at(sorted, at), last);
  const element = (at: string): string => {
    const origin = shader.load(origins, columns.at(sorted, at));
    return `let origin = ${origin};\nlet element = ${shader.load(from, columns.at(source, "origin"))};`;
  };
  const coordinates = index.shape.map((_, d) => (d === axis ? "at" : `r${d > axis ? d - 1 : d}`));
  const head = `${coordinatesOf("item", index.shape, "c")}
${coordinates.map((coordinate, d) => `let ${coordinate} = c${d};`).join("\n")}
let along = ${along("at")};
let place = ${columns.at(target, "along")};`;
  const size = columns.size;
  const body =
    scattering.combine === "replace"
      ? `${head}
if (at < ${size - 1}) { if (${along("at + 1")} == along) { return; } }
${element("at")}
${shader.store(to, "place", "element")}`
      : `${head}
if (at > 0) { if (${along("at - 1")} == along) { return; } }
var total = ${shader.load(to, "place")};
for (var next = at; next < ${size}; next++) {
if (${along("next")} != along) { break; }
${element("next")}
total = ${combined(scattering, "total", "element")};
}
${shader.store(to, "place", "total")}`;
  return [...sortRows(sorting, context), shader.perItem(name, product(index.shape), body)];
}

function slots(
  shader: ShaderBuilder,
  { target, source }: Scattering,
  index: Operand,
): [Slot, Slot, Slot] {
  return [
    shader.slot(target.buffer, target.dtype),
    shader.slot(index.buffer, index.dtype),
    shader.slot(source.buffer, source.dtype),
  ];
}

function scatter(scattering: Scattering, context: LoweringContext): readonly Launch[] {
  const { index, axis } = scattering;
  if (product(index.shape) === 0) return [];
  const { count, size } = new Rows(index.shape, axis);
  const sortedColumns = new Rows(narrowed(index, axis).shape, axis).count;
  const isWalked = size <= shortColumn || (count >= manyColumns && sortedColumns === count);
  return isWalked ? [walk(scattering, context)] : walkSorted(scattering, context);
}

function kernelOf(op: string, combine: Combine): NativeKernel {
  return {
    op,
    acceptsView: () => true,
    lower: ({ name, node, inputs, outputs }, context) => {
      const axis = node.attributes.axis as number;
      const [base, index, source] = inputs as [Operand, Operand, Operand];
      const target = denseView(outputs[0]!, base.dtype, base.shape);
      return [
        copyBase(name, base, target.buffer, context),
        ...scatter({ name, target, axis, index, source, combine }, context),
      ];
    },
  };
}

/** The kernel of `scatter`: of several elements for one place the last counts. */
export const scatterKernel: NativeKernel = kernelOf("scatter", "replace");

/** The kernel of `scatterAdd`. */
export const scatterAddKernel: NativeKernel = kernelOf("scatterAdd", "add");

/** The same index for all elements of a row: `indexAdd` as scattering. */
function lowerIndexAdd(
  { name, node, inputs, outputs }: NativeStep,
  context: LoweringContext,
): readonly Launch[] {
  const axis = node.attributes.axis as number;
  const [base, index, source] = inputs as [Operand, Operand, Operand];
  const outer = product(base.shape.slice(0, axis));
  const inner = product(base.shape.slice(axis + 1));
  const count = product(index.shape);
  const shape = [outer, count, inner];
  const scattering: Scattering = {
    name,
    target: denseView(outputs[0]!, base.dtype, [outer, base.shape[axis]!, inner]),
    axis: 1,
    index: { ...index, shape, strides: [0, 1, 0] },
    source: { ...denseView(source.buffer, source.dtype, shape), offset: source.offset },
    combine: "add",
  };
  return [copyBase(name, base, outputs[0]!, context), ...scatter(scattering, context)];
}

/** The kernel of `indexAdd`: the gradient of an embedding. */
export const indexAddKernel: NativeKernel = {
  op: "indexAdd",
  acceptsView: (_node, input) => input === 0,
  lower: lowerIndexAdd,
};
