import { describe, it } from "vitest";
import { expectLikeReference, leaf, randomData } from "../../../../test/wasm/run-kernel.js";
import { apply, madeOps, type Attributes, type Node } from "../../../graph/node.js";
import "../../../optim/index.js";
import type { Shape } from "../../../tensor/shape.js";
import type { NativeKernel } from "../../native.js";
import { adamAmsgradKernel, adamKernel, sgdKernel, sgdMomentumKernel } from "./updates.js";

const groups: (readonly Shape[])[] = [
  [[]],
  [[3]],
  [[5, 7], [1], [64], [2, 3, 1]],
  [[130, 70], [0], [9000], [3], [4]],
];

function combinations(flags: readonly string[]): Attributes[] {
  return Array.from({ length: 2 ** flags.length }, (_, bits) =>
    Object.fromEntries(flags.map((flag, i) => [flag, ((bits >> i) & 1) === 1])),
  );
}

function nodeOf(
  op: string,
  shapes: readonly Shape[],
  states: number,
  attributes: Attributes,
): Node {
  const made = madeOps().find(({ name }) => name === op)!;
  const numbers = { sgd: 2, sgdMomentum: 4 }[op] ?? 8;
  const tensors = shapes.flatMap((shape) => Array.from({ length: states + 2 }, () => leaf(shape)));
  return apply(made, [leaf([numbers]), ...tensors], attributes)[0]!.node;
}

const kernels: [NativeKernel, number, string[]][] = [
  [sgdKernel, 0, ["maximize", "decays"]],
  [sgdMomentumKernel, 1, ["maximize", "decays", "nesterov"]],
  [adamKernel, 2, ["maximize", "decays", "decoupled"]],
  [adamAmsgradKernel, 3, ["maximize", "decays", "decoupled"]],
];

describe("optimizer updates", () => {
  for (const [kernel, states, flags] of kernels) {
    it(`${kernel.op} agrees with its definition`, () => {
      for (const attributes of combinations(flags)) {
        for (const shapes of groups) {
          const node = nodeOf(kernel.op, shapes, states, attributes);
          const data = node.inputs.map((input, i) =>
            (randomData(input, i) as Float32Array).map((x) => Math.abs(x) + 0.1),
          );
          const close = { relative: 1e-5, absolute: 1e-5 };
          expectLikeReference(kernel, node, { data }, close);
          expectLikeReference(kernel, node, { data, inPlace: true }, close);
          expectLikeReference(kernel, node, { data, unread: [states] }, close);
        }
      }
    });
  }
});
