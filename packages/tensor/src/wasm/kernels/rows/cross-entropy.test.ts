import { describe, it } from "vitest";
import {
  expectLikeReference,
  generator,
  leaf,
  randomData,
  runKernel,
} from "../../../../test/wasm/run-kernel.js";
import { applyOne, madeOps } from "../../../graph/node.js";
import { crossEntropy } from "../../../ops/cross-entropy.js";
import { sizeOf, type Shape } from "../../../tensor/shape.js";
import { crossEntropyBackwardKernel, crossEntropyKernel } from "./cross-entropy.js";

const shapes: Shape[] = [[5], [3, 1], [4, 2], [9, 7], [2, 3, 16], [5, 33], [40, 1000]];

/** Classes, some ignored, some that no class has. */
function targets(count: number, classes: number, ignored: number): Int32Array {
  const random = generator(count);
  const strange = [ignored, classes, -7];
  return Int32Array.from({ length: count }, (_, i) =>
    random() < 0.3 ? strange[i % 3]! : Math.floor(random() * classes),
  );
}

describe("cross entropy", () => {
  for (const hasWeight of [false, true]) {
    for (const labelSmoothing of [0, 0.1]) {
      for (const ignoreIndex of [-100, 1]) {
        it(`weight ${hasWeight}, smoothing ${labelSmoothing}, ignoring ${ignoreIndex}`, () => {
          for (const shape of shapes) {
            const classes = shape.at(-1)!;
            const [logits, target] = [leaf(shape), leaf(shape.slice(0, -1), "int32")];
            const weight = hasWeight ? leaf([classes]) : null;
            const options = { weight, ignoreIndex, labelSmoothing };
            const { node } = crossEntropy(logits, target, options);
            const data = [
              (randomData(logits, 1) as Float32Array).map((x) => x * 5),
              targets(sizeOf(target.shape), classes, ignoreIndex),
              ...(hasWeight ? [(randomData(weight!, 2) as Float32Array).map(Math.abs)] : []),
            ];
            const close = { relative: 1e-5, absolute: 1e-5 };
            expectLikeReference(crossEntropyKernel, node, { data }, close);
            expectLikeReference(crossEntropyKernel, node, { data, unread: [1] }, close);

            const [, lse] = runKernel(crossEntropyKernel, node, { data });
            const op = madeOps().find((made) => made.name === "crossEntropyBackward")!;
            const g = leaf(target.shape);
            const inputs = [...node.inputs, leaf(target.shape), g];
            const backward = applyOne(op, inputs, node.attributes).node;
            const backwardData = [...data, lse!, randomData(g, 4)];
            expectLikeReference(
              crossEntropyBackwardKernel,
              backward,
              { data: backwardData },
              close,
            );
          }
        });
      }
    }
  }
});
