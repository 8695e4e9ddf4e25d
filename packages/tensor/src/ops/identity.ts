/** Operations that pass numbers through: they order work or carry gradients. */

import type { Device } from "../device/device.js";
import {
  apply,
  applyOne,
  makeOp,
  Node,
  noAttributes,
  type GradientRule,
  type Value,
} from "../graph/node.js";

/** What the payload of a custom-gradient node holds. */
type CustomRule = (cotangents: readonly (Value | null)[]) => readonly (Value | null)[];

const customOp = makeOp({
  name: "customGradient",
  kind: "identity",
  // Inputs: the differentiated inputs, then the results; outputs: the results.
  infer: (inputs, { inputs: count }) => inputs.slice(count as number),
  gradient: ((node, cotangents) => {
    const count = node.attributes.inputs as number;
    const rule = node.payload as CustomRule;
    return [...rule(cotangents), ...node.inputs.slice(count).map(() => null)];
  }) satisfies GradientRule,
});

/** `results` with a gradient toward `inputs` that `rule` gives. */
export function customGradient(
  inputs: readonly Value[],
  results: readonly Value[],
  rule: CustomRule,
): readonly Value[] {
  return apply(customOp, [...inputs, ...results], { inputs: inputs.length }, rule);
}

const detachOp = makeOp({
  name: "detach",
  kind: "identity",
  infer: (inputs) => inputs,
});

/** `x` without its history. */
export function detach(x: Value): Value {
  return applyOne(detachOp, [x]);
}

/** `x` without its history, on `device` if it is a constant that goes anywhere. */
export function detachOn(x: Value, device: Device): Value {
  return new Node(detachOp, [x], noAttributes, [x], x.device ?? device, false, null).outputs[0]!;
}

const variableOp = makeOp({
  name: "variable",
  kind: "identity",
  infer: (inputs) => inputs,
  gradient: (_, [g]) => [g!],
});

/** Whether a node makes a variable. */
export function isVariable(node: Node): boolean {
  return node.op === variableOp;
}

/** `x` as a variable to differentiate with respect to. */
export function variable(x: Value): Value {
  const value = applyOne(variableOp, [x]);
  value.tracked = true;
  return value;
}

const afterOp = makeOp({
  name: "after",
  kind: "identity",
  infer: ([x]) => [x!],
  gradient: (_, [g]) => [g!],
});

/** `x`, available only once all of `earlier` are computed. */
export function after(x: Value, ...earlier: readonly Value[]): Value {
  return applyOne(afterOp, [x, ...earlier]);
}
