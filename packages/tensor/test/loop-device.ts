/**
 * A device that runs schedules as they are: loop kernels interpreted one iteration after the other,
 * native steps by the reference. It shows whether the planner is right, without any code generator.
 */

import type { Bindings, Device, DeviceBuffer, Executable } from "../src/device/device.js";
import type { Graph } from "../src/graph/graph.js";
import type { ScalarFunction } from "../src/graph/scalar-function.js";
import { expandPrimitives } from "../src/plan/expand.js";
import type { Affine, Expression, LoopKernel } from "../src/plan/loop.js";
import type { LoopStep, NativeStep, Schedule } from "../src/plan/schedule.js";
import { schedule } from "../src/plan/scheduler.js";
import { readView, type ReferenceArray } from "../src/reference/array.js";
import { elementsOf, storedBytes } from "../src/reference/buffer.js";
import { computeElementwise } from "../src/reference/elementwise.js";
import { computeNode } from "../src/reference/interpreter.js";
import type { DataOf, DType } from "../src/tensor/dtype.js";

class LoopBuffer implements DeviceBuffer {
  readonly byteLength: number;
  elements: Float64Array | null = null;
  dtype: DType = "float32";

  constructor(byteLength: number) {
    this.byteLength = byteLength;
  }

  release(): void {
    this.elements = null;
  }
}

/** The device; `schedules` collects what it was asked to run. Kernels use up to `mostBuffers`. */
export class LoopDevice implements Device {
  readonly name = "loops";
  readonly info = {};
  readonly smallResultBytes = 0;
  readonly schedules: Schedule[] = [];
  readonly #mostBuffers: number;

  constructor(mostBuffers: number = Infinity) {
    this.#mostBuffers = mostBuffers;
  }

  allocate(byteLength: number): DeviceBuffer {
    return new LoopBuffer(byteLength);
  }

  write(buffer: DeviceBuffer, data: DataOf): void {
    (buffer as LoopBuffer).elements = elementsOf(data);
  }

  read(buffer: DeviceBuffer): Promise<ArrayBuffer> {
    const { elements, dtype } = buffer as LoopBuffer;
    return Promise.resolve(storedBytes(elements!, dtype));
  }

  memory(): { tensors: number; plans: number; total: number } {
    return { tensors: 0, plans: 0, total: 0 };
  }

  compile(recorded: Graph): Promise<Executable> {
    const graph = expandPrimitives(recorded, () => false);
    const plan = schedule(graph, {
      has: (node) => node.op.kind === "kernel",
      acceptsView: (node) => node.op.name === "matmul",
      acceptsEpilogue: (node) => node.op.name === "matmul",
      mostBuffers: this.#mostBuffers,
    });
    for (const step of plan.steps) {
      if (step.kind !== "loop" || step.buffers.length <= this.#mostBuffers) continue;
      throw new Error(`${step.name} uses ${step.buffers.length} buffers`);
    }
    this.schedules.push(plan);
    return Promise.resolve({
      run: async (bindings: Bindings) => run(graph, plan, bindings),
      release: () => undefined,
    });
  }
}

function run(graph: Graph, plan: Schedule, bindings: Bindings): (ArrayBuffer | null)[] {
  const memory = plan.buffers.map((buffer) => {
    if (buffer.kind === "input") {
      const input = bindings.inputs[buffer.input]!;
      return input instanceof LoopBuffer ? input.elements! : elementsOf(input as DataOf);
    }
    // NaN shows whatever is read before it is written.
    return new Float64Array(buffer.bytes).fill(NaN);
  });
  for (const step of plan.steps) {
    if (step.kind === "loop") runLoop(step, memory, bindings.scalars);
    else {
      runNative(step, memory);
      if (step.epilogue !== null) runLoop(step.epilogue, memory, bindings.scalars);
    }
  }
  return graph.outputs.map((value, i) => {
    const updated = graph.updates[i] ?? null;
    const at = plan.buffers.findIndex((buffer) =>
      updated === null
        ? buffer.kind === "output" && buffer.output === i
        : buffer.kind === "input" && buffer.input === updated,
    );
    const size = value.shape.reduce((a, b) => a * b, 1);
    const elements = memory[at]!.slice(0, size);
    const output = bindings.outputs[i];
    if (output) {
      Object.assign(output, { elements, dtype: value.dtype });
      return null;
    }
    return storedBytes(elements, value.dtype);
  });
}

function runNative(step: NativeStep, memory: Float64Array[]): void {
  const inputs: ReferenceArray[] = step.inputs.map((input) => ({
    shape: input.shape,
    dtype: input.dtype,
    elements: readView(memory[input.buffer]!, input.shape, input.offset, input.strides),
  }));
  computeNode(step.node, inputs).forEach((elements, i) => {
    const buffer = step.outputs[i];
    if (buffer !== null && buffer !== undefined) memory[buffer]!.set(elements);
  });
}

function at(index: Affine, counters: readonly number[]): number {
  return index.strides.reduce((sum, stride, d) => sum + stride * counters[d]!, index.offset);
}

function scalarValue(
  name: ScalarFunction,
  operands: readonly { value: number; dtype: DType }[],
  dtype: DType,
): number {
  const inputs = operands.map(({ value, dtype: type }) => ({
    shape: [],
    dtype: type,
    elements: Float64Array.of(value),
  }));
  return computeElementwise(name, inputs, { shape: [], dtype })[0]!;
}

function evaluate(
  list: readonly Expression[],
  counters: readonly number[],
  step: LoopStep,
  memory: readonly Float64Array[],
  scalars: readonly number[],
  reduced: number,
): number[] {
  const values: number[] = [];
  for (const expression of list) {
    values.push(one(expression));
  }
  return values;

  function one(expression: Expression): number {
    switch (expression.kind) {
      case "load": {
        if (expression.guard !== undefined && values[expression.guard] === 0) return 0;
        const buffer = memory[step.buffers[expression.slot]!]!;
        const position = at(expression.index, counters);
        if (position < 0 || position >= buffer.length)
          throw new Error(`load outside: ${position} of ${buffer.length}`);
        return buffer[position]!;
      }
      case "constant":
        return expression.value;
      case "scalar":
        return scalars[step.scalars[expression.slot]!]!;
      case "index":
        return at(expression.index, counters);
      case "inside":
        return expression.conditions.every(({ index, size }) => {
          const position = at(index, counters);
          return position >= 0 && position < size;
        })
          ? 1
          : 0;
      case "reduced":
        return reduced;
      case "apply": {
        const operands = expression.operands.map((operand) => ({
          value: values[operand]!,
          dtype: list[operand]!.dtype,
        }));
        return scalarValue(expression.function, operands, expression.dtype);
      }
    }
  }
}

function* iterate(extents: readonly number[]): Generator<number[]> {
  const total = extents.reduce((a, b) => a * b, 1);
  for (let i = 0; i < total; i++) {
    let rest = i;
    const counters = new Array<number>(extents.length);
    for (let d = extents.length - 1; d >= 0; d--) {
      counters[d] = rest % extents[d]!;
      rest = Math.floor(rest / extents[d]!);
    }
    yield counters;
  }
}

function runLoop(
  step: LoopStep,
  memory: readonly Float64Array[],
  scalars: readonly number[],
): void {
  const { kernel } = step;
  const inner = kernel.extents.slice(kernel.outputRank);
  const writes: { buffer: Float64Array; position: number; value: number }[] = [];
  for (const outer of iterate(kernel.extents.slice(0, kernel.outputRank))) {
    let counters = [...outer, ...inner.map(() => 0)];
    let values: number[];
    if (kernel.reducer === null) {
      values = evaluate(kernel.body, counters, step, memory, scalars, 0);
    } else {
      const elements: number[] = [];
      for (const rest of iterate(inner)) {
        counters = [...outer, ...rest];
        elements.push(evaluate(kernel.body, counters, step, memory, scalars, 0).at(-1)!);
      }
      counters = [...outer, ...inner.map(() => 0)];
      values = evaluate(kernel.epilogue, counters, step, memory, scalars, join(kernel, elements));
    }
    for (const store of kernel.stores) {
      const buffer = memory[step.buffers[store.slot]!]!;
      const value = values[store.expression]!;
      writes.push({ buffer, position: at(store.index, counters), value });
    }
  }
  for (const { buffer, position, value } of writes) buffer[position] = value;
}

function join({ reducer }: LoopKernel, elements: readonly number[]): number {
  switch (reducer) {
    case "sum":
      return elements.reduce((a, b) => a + b, 0);
    case "product":
      return elements.reduce((a, b) => a * b, 1);
    case "max":
      return Math.max(...elements);
    case "min":
      return Math.min(...elements);
    case "argmax":
      return elements.indexOf(Math.max(...elements));
    case "argmin":
      return elements.indexOf(Math.min(...elements));
    case null:
      return NaN;
  }
}
