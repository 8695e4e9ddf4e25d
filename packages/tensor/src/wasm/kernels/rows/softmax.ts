/** Softmax, its logarithm, their gradients, and log Σ eˣ. */

import type { Node } from "../../../graph/node.js";
import { f32x4, type I32, v128, type V128 } from "../../assembler/index.js";
import { expOfNegative, float, log, type MathContext } from "../../math/index.js";
import type { NativeKernel } from "../../native.js";
import { laneLaunch, type LaneProgram, lanesAlong, type Lanes3 } from "./lanes.js";
import { largest, reduce, total, type Sweep } from "./sweep.js";

const softmaxProgram: LaneProgram<"x" | "y"> = {
  name: "softmax",
  parts: 2,
  work: 20,
  emit: (c, sweep, { x, y }) => {
    const { f } = c;
    const maximum = largest(sweep, x);
    const sum = total(sweep, [x, y], (lanes, part) => {
      const power = f.let(expOfNegative(c, f32x4.subtract(lanes.load(0), maximum[part]!)));
      lanes.store(1, power);
      return power;
    });
    const one = float(c, 1);
    const factor = sum.map((value) => f.let(f32x4.divide(one, value)));
    sweep.over([y], (lanes, part) => {
      lanes.store(0, f32x4.multiply(lanes.load(0), factor[part]!));
    });
  },
};

// y (g − Σ g y)
const softmaxBackwardProgram: LaneProgram<"y" | "g" | "dx"> = {
  name: "softmaxBackward",
  parts: 4,
  work: 5,
  emit: (c, sweep, { y, g, dx }) => {
    const dot = reduce(
      sweep,
      [y, g],
      v128.zero(),
      (sum, lanes) => c.module.madd(lanes.keep(lanes.load(0)), lanes.keep(lanes.load(1)), sum),
      (a, b) => f32x4.add(a, b),
    );
    sweep.over([y, g, dx], (lanes, part) => {
      const centred = f32x4.subtract(lanes.load(1), dot[part]!);
      lanes.store(2, f32x4.multiply(lanes.load(0), centred));
    });
  },
};

const logSoftmaxProgram: LaneProgram<"x" | "y"> = {
  name: "logSoftmax",
  parts: 2,
  work: 20,
  emit: (c, sweep, { x, y }) => {
    const maximum = largest(sweep, x);
    const sum = sumOfPowers(c, sweep, x, maximum);
    const logarithm = sum.map((value) => c.f.let(log(c, value)));
    sweep.over([x, y], (lanes, part) => {
      const shifted = f32x4.subtract(lanes.load(0), maximum[part]!);
      lanes.store(1, f32x4.subtract(shifted, logarithm[part]!));
    });
  },
};

// g − eʸ Σ g
const logSoftmaxBackwardProgram: LaneProgram<"y" | "g" | "dx"> = {
  name: "logSoftmaxBackward",
  parts: 2,
  work: 20,
  emit: (c, sweep, { y, g, dx }) => {
    const sum = total(sweep, [g], (lanes) => lanes.load(0));
    sweep.over([y, g, dx], (lanes, part) => {
      const probability = expOfNegative(c, lanes.load(0));
      lanes.store(2, c.module.nmadd(probability, sum[part]!, lanes.load(1)));
    });
  },
};

/** Σ eˣ⁻ˢ along a sweep. */
function sumOfPowers(
  c: MathContext,
  sweep: Sweep,
  x: I32,
  shift: readonly V128[],
): readonly V128[] {
  return total(sweep, [x], (lanes, part) =>
    expOfNegative(c, f32x4.subtract(lanes.load(0), shift[part]!)),
  );
}

/** log Σ eˣ along a sweep: ∞ where an element is, -∞ where all are, NaN where one is. */
export function logSumExp(c: MathContext, sweep: Sweep, x: I32): readonly V128[] {
  const { f } = c;
  const infinity = float(c, Infinity);
  const maximum = largest(sweep, x);
  const shift = maximum.map((value) => f.let(value.and(f32x4.less(f32x4.abs(value), infinity))));
  const sum = sumOfPowers(c, sweep, x, shift);
  const result = sum.map((value, part) => f.let(f32x4.add(log(c, value), shift[part]!)));
  const isInfinite = maximum.map((value) => f.let(f32x4.equal(value, infinity)));
  // e^∞ came out as NaN; infinite it is, unless something else was NaN.
  f.if(isInfinite.reduce<V128>((a, b) => a.or(b), v128.zero()).anyTrue(), () => {
    const isNaN = reduce(
      sweep,
      [x],
      v128.zero(),
      (mask, lanes) => {
        const value = f.let(lanes.load(0));
        return mask.or(f32x4.notEqual(value, value));
      },
      (a, b) => a.or(b),
    );
    result.forEach((value, part) => {
      const exact = isNaN[part]!.or(infinity);
      f.set(value, v128.bitselect(exact, value, isInfinite[part]!));
    });
  });
  return result;
}

const logSumExpProgram: LaneProgram<"x" | "y"> = {
  name: "logSumExp",
  parts: 2,
  work: 20,
  emit: (c, sweep, { x, y }) => {
    sweep.storeResults(y, logSumExp(c, sweep, x));
  },
};

/** The kernel of a program whose operands all have the shape of the output, given last. */
function alongAxis<Name extends string>(
  program: LaneProgram<Name>,
  ...names: readonly Name[]
): NativeKernel {
  const op = program.name;
  return {
    op,
    lower: ({ node, inputs, outputs }) => {
      const lanes = lanesAlong(inputs[0]!.shape, [node.attributes.axis as number])!;
      const places = [...inputs, outputs[0]!];
      const elements = Object.fromEntries(names.map((name, i) => [name, places[i]!]));
      return [laneLaunch(op, program, lanes, { elements })];
    },
  };
}

/** The kernel of `softmax`. */
export const softmaxKernel: NativeKernel = alongAxis(softmaxProgram, "x", "y");

/** The kernel of `softmaxBackward`. */
export const softmaxBackwardKernel: NativeKernel = alongAxis(
  softmaxBackwardProgram,
  "y",
  "g",
  "dx",
);

/** The kernel of `logSoftmax`. */
export const logSoftmaxKernel: NativeKernel = alongAxis(logSoftmaxProgram, "x", "y");

/** The kernel of `logSoftmaxBackward`. */
export const logSoftmaxBackwardKernel: NativeKernel = alongAxis(
  logSoftmaxBackwardProgram,
  "y",
  "g",
  "dx",
);

const lanesOf = ({ inputs: [x], attributes }: Node): Lanes3 | null =>
  lanesAlong(x!.shape, attributes.axes as readonly number[]);

/** The kernel of `logSumExp`, over neighbouring axes. */
export const logSumExpKernel: NativeKernel = {
  op: "logSumExp",
  supports: (node) => lanesOf(node) !== null && !node.inputs[0]!.shape.includes(0),
  lower: ({ node, inputs: [x], outputs: [y] }) => [
    laneLaunch("logSumExp", logSumExpProgram, lanesOf(node)!, {
      elements: { x: x! },
      single: { y: y! },
    }),
  ],
};
