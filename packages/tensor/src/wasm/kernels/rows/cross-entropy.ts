/**
 * Cross entropy of rows of logits with classes, and its gradient: each row is read while it is in
 * cache, and neither probabilities nor one-hot targets are ever written.
 */

import type { Node } from "../../../graph/node.js";
import type { Operand } from "../../../plan/schedule.js";
import { sizeOf } from "../../../tensor/shape.js";
import { f32x4, i32, type I32, i32x4, v128, type V128 } from "../../assembler/index.js";
import { expOfNegative, float, type MathContext } from "../../math/index.js";
import type { NativeKernel } from "../../native.js";
import { laneLaunch, type LaneOperands, type LaneProgram, type Lanes3 } from "./lanes.js";
import { sumProgram } from "./normalization.js";
import { logSumExp } from "./softmax.js";
import { type Sweep, total } from "./sweep.js";

const { add, subtract, multiply } = f32x4;

// What is added where labels are smoothed: `hit` = 1 - smoothing, `each` = smoothing / classes.
type Smoothing = "hit" | "each";

// The class of a row, whether it is one, and what a row holds for it: 0 where it is none.
function targetOf(
  { f }: MathContext,
  { count }: Sweep,
  pointer: I32,
): readonly [target: I32, isClass: I32, offset: I32, at: (row: I32) => V128] {
  const target = f.let(i32.load(pointer));
  const isClass = f.let(target.lessUnsigned(count));
  const offset = f.let(isClass.select<I32>(target.shiftLeft(2), i32.const(0)));
  const at = (row: I32): V128 => v128.load32Splat(row.add(offset)).and(maskOf(isClass));
  return [target, isClass, offset, at];
}

const maskOf = (condition: I32): V128 => i32x4.splat(i32.const(0).subtract(condition));

const forwardProgram: LaneProgram<
  "logits" | "target" | "loss" | "lse" | "ignored",
  "weight" | Smoothing
> = {
  name: "crossEntropy",
  parts: 2,
  work: 20,
  emit: (c, sweep, { logits, target, loss, lse, ignored, weight, hit, each }) => {
    const { f } = c;
    const [label, , , at] = targetOf(c, sweep, target);
    const logSum = logSumExp(c, sweep, logits)[0]!;
    f.storeLane(32, lse, logSum, 0);
    const result = f.let(subtract(logSum, at(logits)));
    if (weight) f.set(result, multiply(result, at(weight)));
    if (hit && each) {
      const [sum] = total(sweep, [logits, weight ?? logits], (lanes) => {
        const surprise = subtract(logSum, lanes.load(0));
        return weight ? multiply(surprise, lanes.load(1)) : surprise;
      });
      const others = multiply(sum!, v128.load32Splat(each));
      f.set(result, add(multiply(result, v128.load32Splat(hit)), others));
    }
    const counts = maskOf(label.notEqual(i32.load(ignored)));
    f.storeLane(32, loss, result.and(counts), 0);
  },
};

// dx = g (all · p − at the target `certain` − weight · each), where `weights` is the sum of weights.
const backwardProgram: LaneProgram<
  "logits" | "target" | "g" | "lse" | "dx" | "ignored",
  "weight" | "weights" | Smoothing
> = {
  name: "crossEntropyBackward",
  parts: 2,
  work: 20,
  emit: (c, sweep, { logits, target, g, lse, dx, ignored, weight, weights, hit, each }) => {
    const { f, module } = c;
    const [label, isClass, offset, at] = targetOf(c, sweep, target);
    const backward = (): void => {
      const [logSum, cotangent] = [lse, g].map((pointer) => f.let(v128.load32Splat(pointer)));
      const certain = f.let(hit ? v128.load32Splat(hit) : float(c, 1));
      if (weight) f.set(certain, multiply(certain, at(weight)));
      let all = weight ? certain : float(c, 1);
      if (weights && each) {
        all = add(all, multiply(v128.load32Splat(weights), v128.load32Splat(each)));
      }
      const factor = f.let(multiply(all, cotangent!));
      const share = each && f.let(multiply(v128.load32Splat(each), cotangent!));
      sweep.over([logits, weight ?? logits, dx], (lanes) => {
        const p = expOfNegative(c, subtract(lanes.load(0), logSum!));
        let result = multiply(p, factor);
        if (share) {
          result = weight ? module.nmadd(lanes.load(1), share, result) : subtract(result, share);
        }
        lanes.store(2, result);
      });
      f.if(isClass, () => {
        const place = f.let(dx.add(offset));
        const less = subtract(v128.load32Splat(place), multiply(certain, cotangent!));
        f.storeLane(32, place, less, 0);
      });
    };
    f.if(
      label.equal(i32.load(ignored)),
      () => {
        f.memoryFill(dx, 0, sweep.count.shiftLeft(2));
      },
      backward,
    );
  },
};

// What both take in the same way.
function common(
  { attributes }: Node,
  [logits, target, third]: readonly Operand[],
): { lanes: Lanes3; target: Operand; logits: Operand; weight: Operand | null } & Pick<
  Required<LaneOperands>,
  "floats" | "integers"
> {
  const size = logits!.shape.at(-1)!;
  const smoothing = attributes.labelSmoothing as number;
  return {
    lanes: { outer: sizeOf(logits!.shape) / size, size, inner: 1 },
    logits: logits!,
    target: target!,
    weight: attributes.hasWeight ? third! : null,
    floats: smoothing > 0 ? { hit: 1 - smoothing, each: smoothing / size } : {},
    integers: { ignored: attributes.ignoreIndex as number },
  };
}

/** The kernel of `crossEntropy`. */
export const crossEntropyKernel: NativeKernel = {
  op: "crossEntropy",
  lower: ({ node, inputs, outputs }, context) => {
    const { lanes, target, logits, weight, ...words } = common(node, inputs);
    const [loss, lse] = [0, 1].map((i) => outputs[i] ?? context.workspace(lanes.outer * 4));
    return [
      laneLaunch(node.op.name, forwardProgram, lanes, {
        elements: { logits },
        single: { target, loss: loss!, lse: lse! },
        shared: { weight },
        ...words,
      }),
    ];
  },
};

/** The kernel of `crossEntropyBackward`. */
export const crossEntropyBackwardKernel: NativeKernel = {
  op: "crossEntropyBackward",
  lower: ({ node, inputs, outputs }, context) => {
    const { lanes, target, logits, weight, ...words } = common(node, inputs);
    const [lse, g] = inputs.slice(-2) as [Operand, Operand];
    const buffer = weight && words.floats.each ? context.workspace(4) : null;
    const before =
      buffer === null
        ? []
        : [
            laneLaunch(
              "sum of weights",
              sumProgram,
              { ...lanes, outer: 1 },
              {
                elements: { x: weight! },
                single: { y: buffer },
              },
            ),
          ];
    return [
      ...before,
      laneLaunch(node.op.name, backwardProgram, lanes, {
        elements: { logits, dx: outputs[0]! },
        single: { target, lse, g },
        shared: { weight, weights: buffer === null ? null : { buffer, offset: 0 } },
        ...words,
      }),
    ];
  },
};
