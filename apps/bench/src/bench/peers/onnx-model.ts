/**
 * Writes the small ONNX models that the tasks need, in the protobuf wire format. The field numbers
 * are those of onnx.proto.
 */

import { inputShapes, outputShape, type ArrayTask } from "./peer.js";

const encoder = new TextEncoder();
const float32 = 1;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  return [...bytes, rest];
}

const integer = (field: number, value: number): number[] => [
  ...varint(field * 8),
  ...varint(value),
];

const bytes = (field: number, content: Iterable<number>): number[] => {
  const list = [...content];
  return [...varint(field * 8 + 2), ...varint(list.length), ...list];
};

const text = (field: number, value: string): number[] => bytes(field, encoder.encode(value));

function valueInfo(field: number, name: string, shape: readonly number[]): number[] {
  const dimensions = shape.flatMap((n) => bytes(1, integer(1, n)));
  const tensorType = [...integer(1, float32), ...bytes(2, dimensions)];
  return bytes(field, [...text(1, name), ...bytes(2, bytes(1, tensorType))]);
}

function node(type: string, inputs: readonly string[], output: string, axis?: number): number[] {
  const parts = [...inputs.flatMap((name) => text(1, name)), ...text(2, output), ...text(4, type)];
  if (axis !== undefined) {
    // An integer attribute has type 2.
    parts.push(...bytes(5, [...text(1, "axis"), ...integer(3, axis), ...integer(20, 2)]));
  }
  return bytes(1, parts);
}

function scalarInitializer(name: string, value: number): number[] {
  const raw = new Uint8Array(Float32Array.of(value).buffer);
  return bytes(5, [...integer(2, float32), ...text(8, name), ...bytes(9, raw)]);
}

function nodes(task: ArrayTask): number[] {
  switch (task.op) {
    case "matmul":
      return node("MatMul", ["x0", "x1"], "y");
    case "softmax":
      return node("Softmax", ["x0"], "y", 1);
    case "layerNorm":
      return node("LayerNormalization", ["x0", "x1", "x2"], "y", 1);
    case "gelu":
      return node("Gelu", ["x0"], "y");
    case "chain":
      return [
        ...node("Mul", ["x0", "x1"], "product"),
        ...node("Add", ["product", "x0"], "sum"),
        ...node("Tanh", ["sum"], "bent"),
        ...node("Mul", ["bent", "half"], "scaled"),
        ...node("Add", ["scaled", "x1"], "y"),
        ...scalarInitializer("half", 0.5),
      ];
  }
}

/** The model of a task: inputs `x0`, `x1` …, output `y`. */
export function onnxModel(task: ArrayTask): Uint8Array {
  const graph = [
    ...nodes(task),
    ...text(2, "task"),
    ...inputShapes(task).flatMap((shape, i) => valueInfo(11, `x${i}`, shape)),
    ...valueInfo(12, "y", outputShape(task)),
  ];
  const opset = [...text(1, ""), ...integer(2, 20)];
  return Uint8Array.from([...integer(1, 9), ...bytes(7, graph), ...bytes(8, opset)]);
}
