/**
 * Norms of a few rows, computed by every workgroup of the products that read them, as in decoding:
 * there a launch costs more than reading a row again.
 */

import {
  isDense,
  type NativeStep,
  type Operand,
  type PlanBuffer,
  type Step,
} from "@x/tensor/device";
import { normalizedRows } from "../rows/normalization.js";
import { product } from "../view.js";
import { mostVectors } from "./vectors.js";

/** A product whose left factor is the result of a norm, which it computes itself. */
export interface NormalizedProduct extends NativeStep {
  readonly norm: NativeStep;
}

/** The norm that a product computes itself, if any. */
export function normOf(step: NativeStep): Norm | null {
  if (!("norm" in step)) return null;
  const { node, inputs } = (step as NormalizedProduct).norm;
  const [x, ...affine] = inputs as [Operand, ...Operand[]];
  const { hasWeight, hasBias, eps } = node.attributes;
  return {
    x,
    weight: hasWeight === true ? affine.shift()! : null,
    bias: hasBias === true ? affine.shift()! : null,
    eps: eps as number,
    isCentred: node.op.name === "layerNorm",
  };
}

/** A layer norm or RMS norm. */
export interface Norm {
  /** What is normalised, dense. */
  readonly x: Operand;
  readonly weight: Operand | null;
  readonly bias: Operand | null;
  readonly eps: number;
  /** Whether the mean is subtracted. */
  readonly isCentred: boolean;
}

/** Leaves out the norms of a few rows that only products read, which then compute them. */
export function joinNorms(
  steps: readonly Step[],
  buffers: readonly PlanBuffer[],
  mostBuffers: number,
): readonly Step[] {
  const joined = [...steps];
  const left = new Set<Step>();
  steps.forEach((step, at) => {
    if (!isSmallNorm(step, buffers)) return;
    const [output] = step.outputs as [number];
    const users = steps.flatMap((user, i) => (i !== at && uses(user, output) ? [i] : []));
    const x = step.inputs[0]!.buffer;
    const last = users.at(-1) ?? at;
    // What is overwritten meanwhile cannot be read later.
    const isKept =
      buffers[x]!.kind !== "input" ||
      steps.slice(at + 1, last + 1).every((other) => !mayWrite(other, x));
    if (!isKept || !users.every((i) => canTake(steps[i]!, step, mostBuffers))) return;
    for (const i of users) {
      const normalized: NormalizedProduct = { ...(steps[i] as NativeStep), norm: step };
      joined[i] = normalized;
    }
    if (users.length > 0) left.add(step);
  });
  return joined.filter((step) => !left.has(step));
}

function isSmallNorm(step: Step, buffers: readonly PlanBuffer[]): step is NativeStep {
  if (step.kind !== "native" || !["layerNorm", "rmsNorm"].includes(step.node.op.name)) return false;
  const [output, ...others] = step.outputs;
  const rows = normalizedRows(step.node);
  return (
    rows.outer <= mostVectors &&
    step.inputs.every(({ dtype }) => dtype === "float32") &&
    buffers[output!]!.kind === "temporary" &&
    others.every((buffer) => buffer === null)
  );
}

function uses(step: Step, buffer: number): boolean {
  if (step.kind === "loop") return step.buffers.includes(buffer);
  const { inputs, outputs, epilogue } = step;
  return (
    inputs.some((input) => input.buffer === buffer) ||
    outputs.includes(buffer) ||
    epilogue?.buffers.includes(buffer) === true
  );
}

function mayWrite(step: Step, buffer: number): boolean {
  return step.kind === "loop" ? step.buffers.includes(buffer) : step.outputs.includes(buffer);
}

/** Whether a step is a product that can compute this norm for its left factor. */
function canTake(step: Step, norm: NativeStep, mostBuffers: number): boolean {
  if (step.kind !== "native" || step.node.op.name !== "matmul" || "norm" in step) return false;
  const [left, right] = step.inputs as [Operand, Operand];
  const [output] = norm.outputs as [number];
  const rows = normalizedRows(norm.node);
  const all = [...norm.inputs.map(({ buffer }) => buffer), right.buffer, step.outputs[0]!];
  const epilogue = step.epilogue?.buffers ?? [];
  const isVector = left.shape.at(-2)! <= mostVectors && left.shape.at(-1) === rows.size;
  return (
    isVector &&
    left.buffer === output &&
    left.dtype === "float32" &&
    isDense(left) &&
    product(left.shape.slice(0, -2)) === 1 &&
    left.shape.at(-2) === rows.outer &&
    right.buffer !== output &&
    !epilogue.includes(output) &&
    new Set([...all, ...epilogue]).size <= mostBuffers
  );
}
