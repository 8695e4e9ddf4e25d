/** Convolutions (cross-correlations, as PyTorch's) over one or two axes. */

import { check } from "../error.js";
import { applyOne, makeOp, type Value } from "../graph/node.js";
import { formatShape, sizeOf } from "../tensor/shape.js";
import { cast, multiply } from "./elementwise.js";
import { matmul } from "./matmul.js";
import { pad, permute, reshape, window } from "./movement.js";
import { sum } from "./reduce.js";

/** How the kernel moves over the input, one number for each spatial axis. */
export interface ConvolutionGeometry {
  readonly stride: readonly number[];
  /** Zeros added at both ends. */
  readonly padding: readonly number[];
  readonly dilation: readonly number[];
  /** Channels are split into this many groups that do not see each other. */
  readonly groups: number;
}

const list = (attribute: unknown): readonly number[] => attribute as readonly number[];

function outputSize(
  size: number,
  kernel: number,
  stride: number,
  padding: number,
  dilation: number,
): number {
  return Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
}

/**
 * Inputs x [N, C, …spatial] and weight [O, C / groups, …kernel]; output [N, O, …spatial'].
 *
 * Attributes: `stride`, `padding`, `dilation` (one number a spatial axis), `groups`.
 */
const convolutionOp = makeOp({
  name: "convolution",
  kind: "primitive",
  infer: ([x, weight], { stride, padding, dilation }) => {
    const spatial = weight!.shape
      .slice(2)
      .map((kernel, i) =>
        outputSize(
          x!.shape[i + 2]!,
          kernel,
          list(stride)[i]!,
          list(padding)[i]!,
          list(dilation)[i]!,
        ),
      );
    return [{ shape: [x!.shape[0]!, weight!.shape[0]!, ...spatial], dtype: "float32" }];
  },
  compose: ([x, weight], attributes) => {
    const groups = attributes.groups as number;
    const [batch, channels] = x!.shape as [number, number];
    const [filters, depth, ...kernel] = weight!.shape as [number, number, ...number[]];
    const rank = kernel.length;
    const padding = [0, 0, ...list(attributes.padding)];
    let windows = pad(x!, padding, padding);
    kernel.forEach((size, i) => {
      const step = list(attributes.stride)[i]!;
      windows = window(windows, i + 2, size, step, list(attributes.dilation)[i]!);
    });
    // Now [N, C, …spatial', …kernel].
    const spatial = windows.shape.slice(2, 2 + rank);
    const perGroup = filters / groups;
    if (depth === 1 && perGroup === 1 && groups === channels) {
      const each = reshape(weight!, [channels, ...spatial.map(() => 1), ...kernel]);
      const axes = kernel.map((_, i) => 2 + rank + i);
      return [sum(multiply(windows, each), axes)];
    }
    const split = reshape(windows, [batch, groups, depth, ...spatial, ...kernel]);
    const spatialAxes = spatial.map((_, i) => 3 + i);
    const kernelAxes = kernel.map((_, i) => 3 + rank + i);
    const rows = permute(split, [0, 1, ...spatialAxes, 2, ...kernelAxes]);
    const length = depth * sizeOf(kernel);
    const columns = permute(reshape(weight!, [groups, perGroup, length]), [0, 2, 1]);
    const positions = sizeOf(spatial);
    const product =
      groups === 1
        ? matmul(reshape(rows, [batch, positions, length]), reshape(columns, [length, filters]))
        : matmul(reshape(rows, [batch, groups, positions, length]), columns);
    const grouped = reshape(product, [batch, groups, positions, perGroup]);
    return [reshape(permute(grouped, [0, 1, 3, 2]), [batch, filters, ...spatial])];
  },
});

/** Convolution of x [N, C, …spatial] with weight [O, C / groups, …kernel]. */
export function convolution(
  op: string,
  x: Value,
  weight: Value,
  geometry: ConvolutionGeometry,
): Value {
  const { stride, padding, dilation, groups } = geometry;
  const rank = stride.length;
  check(
    x.shape.length === rank + 2 && weight.shape.length === rank + 2,
    "shape",
    () =>
      `${op}: input and weight must have ${rank + 2} axes, got ${formatShape(x.shape)} and ${formatShape(weight.shape)}. Add the batch axis or reshape.`,
  );
  const channels = x.shape[1]!;
  const filters = weight.shape[0]!;
  check(
    Number.isInteger(groups) && groups >= 1 && channels % groups === 0 && filters % groups === 0,
    "argument",
    () =>
      `${op}: groups must divide the ${channels} input and ${filters} output channels, got ${groups}. Choose a common divisor.`,
  );
  check(
    weight.shape[1] === channels / groups,
    "shape",
    () =>
      `${op}: the weight must have ${channels / groups} input channels a group, got ${formatShape(weight.shape)} for input ${formatShape(x.shape)}. Correct the weight or groups.`,
  );
  for (let i = 0; i < rank; i++) {
    const room = x.shape[i + 2]! + 2 * padding[i]!;
    const span = dilation[i]! * (weight.shape[i + 2]! - 1) + 1;
    check(
      span <= room && weight.shape[i + 2]! > 0,
      "shape",
      () =>
        `${op}: the kernel must fit into the padded input, got a span of ${span} for ${room}. Pad more or use a smaller kernel.`,
    );
  }
  const inputs = [cast(x, "float32"), cast(weight, "float32")];
  return applyOne(convolutionOp, inputs, { stride, padding, dilation, groups });
}
