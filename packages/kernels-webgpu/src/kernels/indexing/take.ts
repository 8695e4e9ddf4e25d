/** Elements at places that are data: rows of a table, or along an axis one element for each index. */

import type { NativeStep, Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { coordinatesOf, indexIn, product } from "../view.js";
import { placeAt, zeroOf } from "./place.js";

/** Where an element of the result comes from, given its coordinates. */
interface Source {
  /** Coordinates of its index. */
  readonly index: readonly string[];
  /** Coordinates in the tensor; the one that the index names is `place`. */
  readonly x: readonly string[];
}

type SourceRule = (coordinates: string[], axis: number, indexRank: number) => Source;

/** The axes of the index take the place of the axis. */
const taken: SourceRule = (coordinates, axis, indexRank) => ({
  index: coordinates.slice(axis, axis + indexRank),
  x: coordinates.toSpliced(axis, indexRank, "place"),
});

/** Every element has an index of its own. */
const gathered: SourceRule = (coordinates, axis) => ({
  index: coordinates,
  x: coordinates.with(axis, "place"),
});

function pick(
  { name, node, inputs, outputs }: NativeStep,
  rule: SourceRule,
  context: LoweringContext,
): Launch {
  const axis = node.attributes.axis as number;
  const [x, index] = inputs as [Operand, Operand];
  const { shape } = node.outputs[0]!;
  const items = product(shape);
  const shader = context.shader();
  const target = shader.slot(outputs[0]!, x.dtype);
  // There is nothing to pick: any number will do.
  if (x.shape[axis] === 0) {
    return shader.perItem(name, items, shader.store(target, "item", zeroOf(shader, target)));
  }
  const coordinates = shape.map((_, d) => `c${d}`);
  const source = rule(coordinates, axis, index.shape.length);
  const numbers = shader.slot(x.buffer, x.dtype);
  const indices = shader.slot(index.buffer, index.dtype);
  const place = placeAt(shader, indices, indexIn(index, source.index), x.shape[axis]! - 1);
  const value = shader.load(numbers, indexIn(x, source.x));
  const body = `${coordinatesOf("item", shape, "c")}
let place = ${place};
${shader.store(target, "item", value)}`;
  return shader.perItem(name, items, body);
}

function pickKernel(op: string, rule: SourceRule): NativeKernel {
  return { op, acceptsView: () => true, lower: (step, context) => [pick(step, rule, context)] };
}

/** The kernel of `take`. */
export const takeKernel: NativeKernel = pickKernel("take", taken);

/** The kernel of `gather`. */
export const gatherKernel: NativeKernel = pickKernel("gather", gathered);
