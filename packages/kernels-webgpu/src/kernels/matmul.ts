/**
 * Matrix products: a workgroup computes a tile of the output, each invocation a small block of it in
 * registers, from tiles of both matrices in workgroup memory.
 */

import type { NativeStep, Operand } from "@x/tensor/device";
import type { Launch } from "../launch.js";
import type { LoweringContext, NativeKernel } from "../native.js";
import { coordinatesOf, indexIn } from "./view.js";

/** Rows and columns of the output that an invocation computes. */
const block = 4;
/** Invocations along rows and columns of a tile. */
const side = 8;
/** Rows and columns of a tile. */
const tile = block * side;
/** Steps along the summed axis that are in workgroup memory at once. */
const depth = 16;

/** The kernel of `matmul`; it reads any view. */
export const matmulKernel: NativeKernel = {
  op: "matmul",
  acceptsView: (_node, _input, { dtype }) => dtype === "float32",
  lower: (step, context) => [tiled(step, context)],
};

function tiled({ inputs, outputs }: NativeStep, context: LoweringContext): Launch {
  const [left, right] = inputs as [Operand, Operand];
  const rank = left.shape.length;
  const [m, k] = left.shape.slice(-2) as [number, number];
  const n = right.shape[rank - 1]!;
  const batchShape = left.shape.slice(0, -2);
  const batch = batchShape.reduce((a, b) => a * b, 1);
  const [across, down] = [Math.ceil(n / tile), Math.ceil(m / tile)];

  const shader = context.shader();
  const output = shader.slot(outputs[0]!, "float32");
  shader.declare(`var<workgroup> left_tile: array<f32, ${depth * tile}>;`);
  shader.declare(`var<workgroup> right_tile: array<f32, ${depth * tile}>;`);
  const blocks = Array.from({ length: block }, (_, i) => i);
  /**
   * Copies part of a matrix to workgroup memory, step by step along the summed axis; beyond the
   * matrix it is 0. `first` is where the tile begins along `axis`, of `size`.
   */
  const fill = (to: string, operand: Operand, first: "row" | "column", size: number): string => {
    const axis = first === "row" ? rank - 2 : rank - 1;
    const summed = first === "row" ? rank - 1 : rank - 2;
    // Neighbouring invocations read numbers that are neighbours.
    const place =
      Math.abs(operand.strides[summed]!) === 1
        ? `let p = at % ${depth}; let i = at / ${depth};`
        : `let i = at % ${tile}; let p = at / ${tile};`;
    const coordinates = [...batchShape.map((_, d) => `b${d}`), "", ""];
    coordinates[axis] = `${first} + i`;
    coordinates[summed] = "start + p";
    const slot = shader.slot(operand.buffer, "float32");
    return `for (var at = lane; at < ${tile * depth}; at += ${side * side}) {
${place}
var value = 0.0;
if (${first} + i < ${size} && start + p < ${k}) { value = ${shader.load(slot, indexIn(operand, coordinates))}; }
${to}[p * ${tile} + i] = value;
}`;
  };
  // Vectors are taken apart by name: an index that is not constant would put them into memory.
  const storeRow = (i: number): string => {
    const stores = ["x", "y", "z", "w"].map(
      (lane, j) =>
        `if (c + ${j} < ${n}) { ${shader.store(output, `place + ${j}`, `sum${i}.${lane}`)} }`,
    );
    return `{
let r = row + y * ${block} + ${i};
let c = column + x * ${block};
let place = (batch * ${m} + r) * ${n} + c;
if (r < ${m}) { ${stores.join(" ")} }
}`;
  };
  const body = `
let tiles = group % ${across * down};
let batch = group / ${across * down};
${coordinatesOf("batch", batchShape, "b")}
let row = (tiles / ${across}) * ${tile};
let column = (tiles % ${across}) * ${tile};
let x = lane % ${side};
let y = lane / ${side};
${blocks.map((i) => `var sum${i} = vec4f(0.0);`).join("\n")}
for (var start = 0; start < ${k}; start += ${depth}) {
${fill("left_tile", left, "row", m)}
${fill("right_tile", right, "column", n)}
workgroupBarrier();
let steps = min(${depth}, ${k} - start);
for (var p = 0; p < steps; p++) {
let base = p * ${tile} + x * ${block};
let values = vec4f(right_tile[base], right_tile[base + 1], right_tile[base + 2], right_tile[base + 3]);
${blocks.map((i) => `sum${i} += left_tile[p * ${tile} + y * ${block} + ${i}] * values;`).join("\n")}
}
workgroupBarrier();
}
${blocks.map((i) => storeRow(i)).join("\n")}`;
  const name = `matmul ${batch > 1 ? `${batch}x` : ""}${m}x${n}x${k}`;
  return shader.perGroup(name, across * down * batch, side * side, body);
}
