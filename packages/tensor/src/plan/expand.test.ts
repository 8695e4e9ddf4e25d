import { expect, test } from "vitest";
import { reference } from "../reference/device.js";
import { collectGraph, type Graph } from "../graph/graph.js";
import { applyOne, makeOp, type Node, type Value } from "../graph/node.js";
import { Storage } from "../graph/storage.js";
import { add, exp, multiply, negate } from "../ops/elementwise.js";
import { after, customGradient, detach, variable } from "../ops/identity.js";
import { constant, input, iota, scalar } from "../ops/leaf.js";
import { logSumExp } from "../ops/reduce.js";
import { expandPrimitives } from "./expand.js";

function leaf(...numbers: number[]): Value {
  const device = reference();
  const data = Float32Array.from(numbers);
  return input(new Storage(device, data.byteLength, data, null), [data.length], "float32", device);
}

function expanded(outputs: Value[], isNative: (node: Node) => boolean = () => false): Graph {
  return expandPrimitives(collectGraph(outputs), isNative);
}

const names = (graph: Graph): string[] => graph.nodes.map((node) => node.op.name);

const double = makeOp({
  name: "double",
  kind: "primitive",
  infer: ([x]) => [x!],
  compose: ([x]) => [add(x!, x!)],
});

const quadruple = makeOp({
  name: "quadruple",
  kind: "primitive",
  infer: ([x]) => [x!],
  compose: ([x]) => [applyOne(double, [applyOne(double, [x!])])],
});

test("primitives give way to their definitions, also inside definitions", () => {
  const y = applyOne(quadruple, [leaf(1, 2)]);
  expect(names(expanded([y]))).toEqual(["input", "add", "add"]);
  expect(names(expanded([y], (node) => node.op === double))).toEqual(["input", "double", "double"]);
  expect(names(expanded([y], (node) => node.op === quadruple))).toEqual(["input", "quadruple"]);
});

test("a definition may return its input", () => {
  const same = makeOp({
    name: "same",
    kind: "primitive",
    infer: ([x]) => [x!],
    compose: ([x]) => [x!],
  });
  const x = leaf(1);
  const graph = expanded([applyOne(same, [x]), exp(applyOne(same, [x]))]);
  expect(names(graph)).toEqual(["input", "exp"]);
  expect(graph.outputs[0]).toBe(graph.inputs[0]);
});

test("a definition must not bring stored numbers along", () => {
  const hidden = leaf(1);
  const leaky = makeOp({
    name: "leaky",
    kind: "primitive",
    infer: ([x]) => [x!],
    compose: ([x]) => [add(x!, hidden)],
  });
  expect(() => expanded([applyOne(leaky, [leaf(2)])])).toThrow(/only as inputs/);
});

test("operations that only carry gradients disappear", () => {
  const x = leaf(1);
  const [y] = customGradient([x], [exp(detach(variable(x)))], () => [null]);
  expect(names(expanded([y!]))).toEqual(["input", "exp"]);
  const alias = expanded([detach(x)]);
  expect(alias.outputs).toEqual(alias.inputs);
});

test("what is computed twice is computed once, unless it is kept apart", () => {
  const x = leaf(1);
  const first = exp(x);
  expect(names(expanded([add(first, exp(x))]))).toEqual(["input", "exp", "add"]);
  const again = exp(after(x, negate(first)));
  expect(names(expanded([add(first, again)])).filter((name) => name === "exp")).toHaveLength(2);
});

test("equal constants merge; zeros of different sign, types and attributes do not", () => {
  const sums = [constant(0.5), constant(0.5), constant(0), constant(-0), constant(0, "int32")];
  const graph = expanded([...sums, iota(3), iota(3), iota(4)]);
  expect(names(graph).filter((name) => name === "constant")).toHaveLength(4);
  expect(names(graph).filter((name) => name === "iota")).toHaveLength(2);
  expect(graph.outputs[0]).toBe(graph.outputs[1]);
});

test("inputs and runtime scalars keep their number and order", () => {
  const x = leaf(1);
  const y = leaf(1);
  const rate = scalar(0.5);
  const graph = collectGraph([add(multiply(x, scalar(0.5)), multiply(y, rate)), detach(rate)]);
  const result = expandPrimitives(graph, () => false);
  expect(result.inputs).toHaveLength(2);
  expect(result.scalars).toHaveLength(2);
  expect(result.outputs[1]).toBe(result.scalars[1]!.outputs[0]);
  expect(names(result).filter((name) => name === "multiply")).toHaveLength(2);
});

test("the new graph holds on to no storage", () => {
  const graph = expanded([exp(leaf(1))]);
  for (const node of graph.nodes) {
    expect(node.payload).toBeNull();
    for (const value of node.outputs) expect(value.storage).toBeNull();
  }
});

test("the definition of a definition is shared where it is the same", () => {
  const x = leaf(1, 2);
  const graph = expanded([logSumExp(x, [0]), negate(logSumExp(x, [0]))]);
  expect(names(graph).filter((name) => name === "max")).toHaveLength(1);
});

test("graphs may be deep", () => {
  let y = leaf(1);
  for (let i = 0; i < 10_000; i++) y = i % 2 === 0 ? negate(y) : applyOne(double, [y]);
  expect(expanded([y]).nodes).toHaveLength(10_001);
});
