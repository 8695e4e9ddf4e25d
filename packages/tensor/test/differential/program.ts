/** Random programs: what they are, how they are drawn, and how they are recorded on a device. */

import fc from "fast-check";
import type { Device } from "../../src/device/device.js";
import { formatSpec, type Value } from "../../src/graph/node.js";
import { Storage } from "../../src/graph/storage.js";
import { input } from "../../src/ops/leaf.js";
import { viewAs } from "../../src/tensor/data.js";
import { bytesPerElement, type DataOf, type DType } from "../../src/tensor/dtype.js";
import { float32ToFloat16 } from "../../src/tensor/half.js";
import { sizeOf, type Shape } from "../../src/tensor/shape.js";
import { randomNumbers } from "../../src/testing/index.js";
import { elementwiseInstructions } from "./elementwise.js";
import { numericInstructions } from "./numeric.js";
import { Picker } from "./picker.js";
import { structureInstructions } from "./structure.js";

/** Records an operation on values of the pool; `null` if nothing there fits. */
export type Instruction = (pick: Picker) => Value | readonly Value[] | null;

const instructions: Readonly<Record<string, Instruction>> = {
  ...elementwiseInstructions,
  ...structureInstructions,
  ...numericInstructions,
};
const names = Object.keys(instructions);

interface InputDescription {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly seed: number;
  /** What is among the elements: also zeros, large and small numbers, or infinities and NaN too. */
  readonly special: "no" | "finite" | "infinite";
}

interface StepDescription {
  readonly instruction: string;
  readonly choices: readonly number[];
}

/** A random program. */
export interface Program {
  readonly inputs: readonly InputDescription[];
  readonly steps: readonly StepDescription[];
}

const size = fc.oneof(
  { weight: 10, arbitrary: fc.integer({ min: 1, max: 5 }) },
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.constantFrom(7, 8, 9, 16, 17, 33, 65) },
);

/** Largest number of elements of an input. */
const inputLimit = 600;

const shape = fc.array(size, { maxLength: 4 }).map((sizes) => {
  let total = 1;
  return sizes.map((n) => {
    const fitting = total * n > inputLimit ? 1 : n;
    total *= fitting;
    return fitting;
  });
});

const inputDescription: fc.Arbitrary<InputDescription> = fc.record({
  shape,
  dtype: fc.oneof(
    { weight: 12, arbitrary: fc.constant<DType>("float32") },
    { weight: 3, arbitrary: fc.constant<DType>("int32") },
    { weight: 4, arbitrary: fc.constantFrom<DType>("uint32", "bool", "float16", "int8") },
  ),
  seed: fc.nat(1e6),
  special: fc.oneof(
    { weight: 16, arbitrary: fc.constant("no" as const) },
    { weight: 3, arbitrary: fc.constant("finite" as const) },
    { weight: 1, arbitrary: fc.constant("infinite" as const) },
  ),
});

/** Draws programs; shrinking removes steps and makes inputs smaller. */
export const programs: fc.Arbitrary<Program> = fc.record({
  inputs: fc.array(inputDescription, { minLength: 1, maxLength: 3 }),
  steps: fc.array(
    fc.record({
      instruction: fc.constantFrom(...names),
      choices: fc.array(fc.nat(0xffff), { minLength: 1, maxLength: 8 }),
    }),
    { minLength: 1, maxLength: 14, size: "max" },
  ),
});

const specialFloats = [0, -0, 1, -1, 1e4, -1e-4, 0.5, 2.5, 88, -104];
const infiniteFloats = [...specialFloats, Infinity, -Infinity, NaN];
const specialIntegers = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 255, 7];

function elementsFor({ shape, dtype, seed, special }: InputDescription): DataOf {
  const count = sizeOf(shape);
  const data = viewAs(dtype, new ArrayBuffer(count * bytesPerElement(dtype)));
  const draw = randomNumbers(seed);
  for (let i = 0; i < count; i++) {
    const u = draw();
    const isFloat = dtype === "float32" || dtype === "float16";
    const floats = special === "infinite" ? infiniteFloats : specialFloats;
    const choices = isFloat ? floats : specialIntegers;
    const isSpecial = special !== "no" && draw() < 0.3;
    let element = isFloat ? (u - 0.5) * 5 : Math.floor(u * 11) - 5;
    if (isSpecial) element = choices[Math.floor(u * choices.length)]!;
    if (dtype === "bool") element = u < 0.5 ? 0 : 1;
    if (dtype === "uint32") element = Math.abs(element);
    data[i] = dtype === "float16" ? float32ToFloat16(element) : element;
  }
  return data;
}

/** What a program recorded. */
export interface Recording {
  readonly inputs: readonly Value[];
  /** All results that no later step used, and some that were used. */
  readonly outputs: readonly Value[];
  /** The program for people. */
  readonly text: string;
}

/** Largest number of elements of any result. */
const resultLimit = 6000;

/** Records a program on a device. */
export function record(program: Program, device: Device, requiresGrad = false): Recording {
  const lines: string[] = [];
  const inputs = program.inputs.map((description) => {
    const data = elementsFor(description);
    const { shape, dtype } = description;
    const storage = new Storage(device, data.byteLength, data, null);
    const value = input(storage, shape, dtype, device, requiresGrad && dtype === "float32");
    lines.push(
      `input ${formatSpec(value)}${description.special === "no" ? "" : ` with special numbers (${description.special})`}`,
    );
    return value;
  });
  const pool = [...inputs];
  const used = new Set<Value>();
  program.steps.forEach(({ instruction, choices }, i) => {
    const before = pool.length;
    const result = instructions[instruction]!(new Picker(pool, choices));
    if (result === null) return;
    const results = "shape" in result ? [result] : result;
    for (const value of results) {
      if (sizeOf(value.shape) <= resultLimit) pool.push(value);
      for (const operand of value.node.inputs) used.add(operand);
    }
    lines.push(`${i}. ${instruction}: ${pool.slice(before).map(formatSpec).join(", ")}`);
  });
  const outputs = pool.filter(
    (value, i) => i >= inputs.length && (!used.has(value) || (value.shape.length + i) % 5 === 0),
  );
  return { inputs, outputs: [...new Set(outputs)], text: lines.join("\n") };
}
