/** Joining tensors along an axis. */

import type { NativeStep, Operand } from "@x/tensor/device";
import type { Launch } from "../launch.js";
import type { LoweringContext, NativeKernel } from "../native.js";
import { coordinatesOf, denseView, indexIn, product } from "./view.js";

/** Tensors that one launch joins: a shader may use eight buffers everywhere, and one is written. */
const mostSources = 7;

/** Copies `sources`, which lie one after the other from `start` along `axis` of the output. */
function joined(
  step: NativeStep,
  sources: readonly Operand[],
  start: number,
  context: LoweringContext,
): Launch {
  const axis = step.node.attributes.axis as number;
  const output = step.node.outputs[0]!;
  const target = denseView(step.outputs[0]!, output.dtype, output.shape);
  const length = sources.reduce((sum, { shape }) => sum + shape[axis]!, 0);
  const shape = output.shape.with(axis, length);
  const shader = context.shader();
  const coordinates = shape.map((_, d) => `c${d}`);
  const to = indexIn(target, coordinates.with(axis, `${start} + c${axis}`));
  let end = 0;
  const branches = sources.map((source, i) => {
    const from = indexIn(source, coordinates.with(axis, `c${axis} - ${end}`));
    end += source.shape[axis]!;
    const value = shader.load(shader.slot(source.buffer, source.dtype), from);
    const store = shader.store(shader.slot(target.buffer, target.dtype), to, value);
    return i === sources.length - 1 ? `{ ${store} }` : `if (c${axis} < ${end}) { ${store} }`;
  });
  const body = `${coordinatesOf("item", shape, "c")}\n${branches.join("\nelse ")}`;
  return shader.perItem(step.name, product(shape), body);
}

/** The kernel of `concatenate`. */
export const concatenateKernel: NativeKernel = {
  op: "concatenate",
  acceptsView: () => true,
  lower: (step, context) => {
    const axis = step.node.attributes.axis as number;
    const sources = step.inputs.filter(({ shape }) => product(shape) > 0);
    const launches: Launch[] = [];
    let start = 0;
    for (let first = 0; first < sources.length; first += mostSources) {
      const group = sources.slice(first, first + mostSources);
      launches.push(joined(step, group, start, context));
      start += group.reduce((sum, { shape }) => sum + shape[axis]!, 0);
    }
    return launches;
  },
};
