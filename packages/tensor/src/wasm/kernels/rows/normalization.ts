/**
 * Layer norm and RMS norm: rows brought to mean 0 and variance 1, or to mean square 1; and their
 * gradients.
 *
 * With n = (x − mean) · rstd and h = g · weight, dx = rstd (h − mean(h) − n · mean(h n)), where RMS
 * norm lacks the first mean. The gradients of weight and bias, Σ g n and Σ g over the rows, are
 * taken over blocks of rows whose number depends on the shape only, and then over the blocks.
 */

import type { Node } from "../../../graph/node.js";
import type { Operand } from "../../../plan/schedule.js";
import { sizeOf } from "../../../tensor/shape.js";
import { f32x4, type I32, type Local, v128, type V128 } from "../../assembler/index.js";
import type { Launch } from "../../launch.js";
import { float, type MathContext } from "../../math/index.js";
import type { NativeKernel } from "../../native.js";
import { laneLaunch, type LaneProgram, type Lanes3 } from "./lanes.js";
import { total } from "./sweep.js";

const { add, subtract, multiply, divide } = f32x4;

function splat({ f }: MathContext, pointer: I32): V128 {
  return f.let(v128.load32Splat(pointer));
}

// The mean is there for layer norm only; `share` is 1 / size.
const normProgram: LaneProgram<"x" | "y" | "rstd" | "share" | "eps", "mean" | "weight" | "bias"> = {
  name: "norm",
  parts: 4,
  work: 8,
  emit: (c, sweep, { x, y, weight, bias, mean, rstd, share, eps }) => {
    const { f, module } = c;
    const part = splat(c, share);
    let centre = (value: V128): V128 => value;
    if (mean) {
      const [sum] = total(sweep, [x], (lanes) => lanes.load(0));
      const middle = f.let(multiply(sum!, part));
      f.storeLane(32, mean, middle, 0);
      centre = (value) => subtract(value, middle);
    }
    const [power] = total(sweep, [x], (lanes) => {
      const centred = f.let(centre(lanes.load(0)));
      return multiply(centred, centred);
    });
    const variance = module.madd(power!, part, splat(c, eps));
    const scale = f.let(divide(float(c, 1), f32x4.sqrt(variance)));
    f.storeLane(32, rstd, scale, 0);
    sweep.over([x, y, weight ?? x, bias ?? x], (lanes) => {
      let result = multiply(centre(lanes.load(0)), scale);
      if (weight && bias) result = module.madd(result, lanes.load(2), lanes.load(3));
      else if (weight) result = multiply(result, lanes.load(2));
      else if (bias) result = add(result, lanes.load(3));
      lanes.store(1, result);
    });
  },
};

const backwardProgram: LaneProgram<
  "x" | "g" | "dx" | "rstd" | "share",
  "weight" | "mean" | "dWeight" | "dBias"
> = {
  name: "normBackward",
  parts: 2,
  work: 16,
  emit: (c, sweep, { x, g, dx, weight, mean, rstd, dWeight, dBias, share }) => {
    const { f, module } = c;
    const [part, scale] = [splat(c, share), splat(c, rstd)];
    const middle = mean && splat(c, mean);
    const normalise = (value: V128): V128 =>
      multiply(middle ? subtract(value, middle) : value, scale);
    const accumulators = (): Local<V128>[] =>
      Array.from({ length: sweep.parts }, () => f.let(v128.zero()));
    const [sums, products] = [accumulators(), accumulators()];
    sweep.over([x, g, weight ?? x, dWeight ?? x, dBias ?? x], (lanes, part) => {
      const normal = f.let(normalise(lanes.load(0)));
      const own = f.let(lanes.load(1));
      if (dWeight) lanes.store(3, module.madd(own, normal, lanes.load(3)));
      if (dBias) lanes.store(4, add(lanes.load(4), own));
      const h = f.let(lanes.keep(weight ? multiply(own, lanes.load(2)) : own));
      if (mean) f.set(sums[part]!, add(sums[part]!, h));
      f.set(products[part]!, module.madd(h, lanes.keep(normal), products[part]!));
    });
    const meanOf = (values: readonly V128[]): V128 =>
      f.let(multiply(sweep.join(values, add)[0]!, part));
    const level = mean && meanOf(sums);
    const along = meanOf(products);
    sweep.over([x, g, weight ?? x, dx], (lanes) => {
      const h = weight ? multiply(lanes.load(1), lanes.load(2)) : lanes.load(1);
      const centred = level ? subtract(h, level) : h;
      const rest = module.nmadd(normalise(lanes.load(0)), along, centred);
      lanes.store(3, multiply(rest, scale));
    });
  },
};

/** The sum of each lane. */
export const sumProgram: LaneProgram<"x" | "y"> = {
  name: "sum",
  parts: 4,
  work: 1,
  emit: (_, sweep, { x, y }) => {
    sweep.storeResults(
      y,
      total(sweep, [x], (lanes) => lanes.load(0)),
    );
  },
};

// The rows of a node's first input, normalised over its last `axes` axes.
function rowsOf({ inputs: [x], attributes }: Node): Lanes3 {
  const split = x!.shape.length - (attributes.axes as number);
  return { outer: sizeOf(x!.shape.slice(0, split)), size: sizeOf(x!.shape.slice(split)), inner: 1 };
}

function normKernel(op: string, centred: boolean): NativeKernel {
  return {
    op,
    supports: (node) => !node.inputs[0]!.shape.includes(0),
    lower: ({ node, inputs, outputs }, context) => {
      const lanes = rowsOf(node);
      const { hasWeight, hasBias, eps } = node.attributes;
      const [x, ...affine] = inputs as [Operand, ...Operand[]];
      const buffer = (output: number, elements = 1): number =>
        outputs[output] ?? context.workspace(lanes.outer * elements * 4);
      return [
        laneLaunch(op, normProgram, lanes, {
          elements: { x, y: buffer(0, lanes.size) },
          single: { mean: centred ? buffer(1) : null, rstd: buffer(centred ? 2 : 1) },
          shared: {
            weight: hasWeight ? affine.shift()! : null,
            bias: hasBias ? affine.shift()! : null,
          },
          floats: { share: 1 / lanes.size, eps: eps as number },
        }),
      ];
    },
  };
}

function normBackwardKernel(op: string, centred: boolean): NativeKernel {
  return {
    op,
    supports: (node) => !node.inputs[0]!.shape.includes(0),
    lower: ({ node, inputs, outputs }, context) => {
      const lanes = rowsOf(node);
      const { outer, size } = lanes;
      const [x, ...others] = inputs as [Operand, ...Operand[]];
      const weight = node.attributes.hasWeight ? others.shift()! : null;
      const mean = centred ? others.shift()! : null;
      const [rstd, g] = others as [Operand, Operand];
      // Blocks are large enough to be worth a thread's while, and few enough to be summed quickly.
      const blockRows = Math.max(Math.ceil(outer / 64), Math.ceil((1 << 14) / size));
      const blocks = Math.ceil(outer / blockRows);
      const joins: Launch[] = [];
      // Where each block puts its sums, which are then summed over the blocks.
      const partialSums = (target: number | null): number => {
        if (blocks === 1 && target !== null) return target;
        const buffer = context.workspace(blocks * size * 4);
        if (target !== null) {
          const columns = { outer: 1, size: blocks, inner: size };
          const places = { elements: { x: { buffer, offset: 0 } }, single: { y: target } };
          joins.push(laneLaunch("sum over rows", sumProgram, columns, places));
        }
        return buffer;
      };
      const dWeight = weight && partialSums(outputs[1]!);
      const dBias = node.attributes.hasBias ? partialSums(outputs[weight ? 2 : 1] ?? null) : null;
      const dx = outputs[0] ?? context.workspace(outer * size * 4);
      const operands = {
        elements: { x, g, dx },
        single: { mean, rstd },
        shared: { weight },
        sums: { dWeight, dBias },
        floats: { share: 1 / size },
      };
      return [laneLaunch(op, backwardProgram, lanes, operands, blockRows), ...joins];
    },
  };
}

/** The kernel of `layerNorm`. */
export const layerNormKernel: NativeKernel = normKernel("layerNorm", true);

/** The kernel of `rmsNorm`. */
export const rmsNormKernel: NativeKernel = normKernel("rmsNorm", false);

/** The kernel of `layerNormBackward`. */
export const layerNormBackwardKernel: NativeKernel = normBackwardKernel("layerNormBackward", true);

/** The kernel of `rmsNormBackward`. */
export const rmsNormBackwardKernel: NativeKernel = normBackwardKernel("rmsNormBackward", false);
