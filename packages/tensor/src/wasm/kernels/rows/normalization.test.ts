import { describe, it } from "vitest";
import { expectLikeReference, leaf, randomData } from "../../../../test/wasm/run-kernel.js";
import { apply, madeOps, type Attributes, type Node, type Value } from "../../../graph/node.js";
import { layerNorm, rmsNorm } from "../../../ops/normalization.js";
import type { Shape } from "../../../tensor/shape.js";
import { layerNormBackwardKernel, rmsNormBackwardKernel } from "./normalization.js";
import { layerNormKernel, rmsNormKernel } from "./normalization.js";

const cases: { readonly shape: Shape; readonly axes: number }[] = [
  ...[1, 2, 3, 5, 8, 16, 17, 19, 35, 64, 511].map((n) => ({ shape: [3, n], axes: 1 })),
  { shape: [7], axes: 1 },
  { shape: [2, 3, 4], axes: 2 },
  { shape: [2, 3, 5], axes: 3 },
  { shape: [900, 20], axes: 1 },
  { shape: [70, 130], axes: 1 },
];

const flags = [
  [false, false],
  [true, false],
  [false, true],
  [true, true],
] as const;

function applyNamed(name: string, inputs: readonly Value[], attributes: Attributes): Node {
  const op = madeOps().find((made) => made.name === name)!;
  return apply(op, inputs, attributes)[0]!.node;
}

const close = { relative: 1e-5, absolute: 1e-5 };

describe("layer norm and RMS norm", () => {
  it("agree with their definitions", () => {
    for (const { shape, axes } of cases) {
      for (const [hasWeight, hasBias] of flags) {
        const x = leaf(shape);
        const row = shape.slice(shape.length - axes);
        const [weight, bias] = [hasWeight ? leaf(row) : null, hasBias ? leaf(row) : null];
        const { node } = layerNorm(x, axes, weight, bias, 1e-5);
        const data = node.inputs.map((input, i) => randomData(input, i));
        expectLikeReference(layerNormKernel, node, { data }, close);
        expectLikeReference(layerNormKernel, node, { data, unread: [1, 2] }, close);
        if (hasBias) continue;
        const rms = rmsNorm(x, axes, weight, 1e-5).node;
        expectLikeReference(rmsNormKernel, rms, { data }, close);
        expectLikeReference(rmsNormKernel, rms, { data, unread: [1] }, close);
      }
    }
  });

  it("have the gradients of their definitions", () => {
    for (const { shape, axes } of cases) {
      for (const [hasWeight, hasBias] of flags) {
        const split = shape.length - axes;
        const weight = hasWeight ? [leaf(shape.slice(split))] : [];
        const [mean, rstd] = [leaf(shape.slice(0, split)), leaf(shape.slice(0, split))];
        const layer = applyNamed(
          "layerNormBackward",
          [leaf(shape), ...weight, mean, rstd, leaf(shape)],
          { axes, hasWeight, hasBias },
        );
        const data = layer.inputs.map((input, i) => randomData(input, i));
        const loose = { relative: 1e-5, absolute: 1e-4 };
        expectLikeReference(layerNormBackwardKernel, layer, { data }, loose);
        const unread = layer.outputs.map((_, i) => i).slice(1);
        expectLikeReference(layerNormBackwardKernel, layer, { data, unread }, loose);
        if (hasBias) continue;
        const rms = applyNamed("rmsNormBackward", [leaf(shape), ...weight, rstd, leaf(shape)], {
          axes,
          hasWeight,
        });
        const rmsData = rms.inputs.map((input, i) => randomData(input, i));
        expectLikeReference(rmsNormBackwardKernel, rms, { data: rmsData }, loose);
      }
    }
  });
});
