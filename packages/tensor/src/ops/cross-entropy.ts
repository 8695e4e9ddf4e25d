/** Cross entropy between rows of logits and classes. */

import { check } from "../error.js";
import { apply, applyOne, makeOp, type Value } from "../graph/node.js";
import { formatShape, sameShape } from "../tensor/shape.js";
import {
  add,
  cast,
  equal,
  exp,
  multiply,
  negate,
  notEqual,
  subtract,
  where,
} from "./elementwise.js";
import { checkedIndex } from "./indexing.js";
import { iota } from "./leaf.js";
import { logSumExp, spread, sum } from "./reduce.js";

/** The parts that definition and gradient share, for logits of shape [..., C]. */
interface Rows {
  readonly classes: number;
  readonly axis: number;
  /** Whether a row counts: its target is not the ignored one. */
  readonly counts: Value;
  /** Whether an element belongs to the target class. */
  readonly isTarget: Value;
  /** The weight of each row's target class; `null` means 1. */
  readonly targetWeight: Value | null;
}

function rowsOf(logits: Value, target: Value, weight: Value | null, ignoreIndex: number): Rows {
  const axis = logits.shape.length - 1;
  const classes = logits.shape[axis]!;
  const counts = notEqual(target, ignoreIndex);
  const isTarget = equal(spread(target, logits.shape, [axis]), iota(classes));
  const targetWeight = weight === null ? null : sum(where(isTarget, weight, 0), [axis]);
  return { classes, axis, counts, isTarget, targetWeight };
}

/**
 * Inputs logits [..., C], target int32 [...], weight? [C]; outputs, one a row, the loss
 * (1 − ε) w_t (lse − x_t) + ε/C Σ_c w_c (lse − x_c), 0 where the target is `ignoreIndex`, and
 * lse = log Σ eˣ.
 *
 * Attributes: `ignoreIndex`, `labelSmoothing` (ε), `hasWeight`.
 */
const crossEntropyOp = makeOp({
  name: "crossEntropy",
  kind: "primitive",
  infer: ([logits]) => {
    const rows = { shape: logits!.shape.slice(0, -1), dtype: "float32" } as const;
    return [rows, rows];
  },
  compose: ([logits, target, weight = null], attributes) => {
    const rows = rowsOf(logits!, target!, weight, attributes.ignoreIndex as number);
    const { classes, axis, isTarget, targetWeight } = rows;
    const smoothing = attributes.labelSmoothing as number;
    const lse = logSumExp(logits!, [axis]);
    const chosen = sum(where(isTarget, logits!, 0), [axis]);
    let loss = subtract(lse, chosen);
    if (targetWeight !== null) loss = multiply(loss, targetWeight);
    if (smoothing > 0) {
      let surprise = subtract(spread(lse, logits!.shape, [axis]), logits!);
      if (weight !== null) surprise = multiply(surprise, weight);
      const others = multiply(sum(surprise, [axis]), smoothing / classes);
      loss = add(multiply(loss, 1 - smoothing), others);
    }
    return [where(rows.counts, loss, 0), lse];
  },
  gradient: (node, [g, gLse]) => {
    const [logits, target, ...weights] = node.inputs as [Value, Value, ...Value[]];
    const lse = node.outputs[1]!;
    let cotangent: Value | null = null;
    if (g) {
      const inputs = [logits, target, ...weights, lse, g];
      cotangent = applyOne(crossEntropyBackwardOp, inputs, node.attributes);
    }
    if (gLse) {
      const axis = logits.shape.length - 1;
      const probabilities = exp(subtract(logits, spread(lse, logits.shape, [axis])));
      const share = multiply(probabilities, spread(gLse, logits.shape, [axis]));
      cotangent = cotangent === null ? share : add(cotangent, share);
    }
    return [cotangent, null, ...weights.map(() => null)];
  },
});

/**
 * Inputs logits [..., C], target [...], weight? [C], lse [...] and the cotangent g [...] of the
 * loss; output the cotangent of the logits,
 * g ((w_t (1 − ε) + ε/C Σ w) eˣ⁻ˡˢᵉ − (1 − ε) w_t [c = t] − ε/C w_c).
 *
 * Attributes as for `crossEntropy`.
 */
const crossEntropyBackwardOp = makeOp({
  name: "crossEntropyBackward",
  kind: "primitive",
  infer: ([logits]) => [{ shape: logits!.shape, dtype: "float32" }],
  compose: (inputs, attributes) => {
    const [logits, target] = inputs as [Value, Value];
    const weight = attributes.hasWeight === true ? inputs[2]! : null;
    const [lse, g] = inputs.slice(-2) as [Value, Value];
    const { classes, axis, counts, isTarget, targetWeight } = rowsOf(
      logits,
      target,
      weight,
      attributes.ignoreIndex as number,
    );
    const smoothing = attributes.labelSmoothing as number;
    const probabilities = exp(subtract(logits, spread(lse, logits.shape, [axis])));
    const hit = 1 - smoothing;
    let slope: Value;
    if (targetWeight === null) {
      slope = subtract(probabilities, where(isTarget, hit, 0));
    } else {
      const certain = spread(multiply(targetWeight, hit), logits.shape, [axis]);
      slope = subtract(multiply(probabilities, certain), where(isTarget, certain, 0));
    }
    if (smoothing > 0) {
      const each = smoothing / classes;
      if (weight === null) slope = subtract(slope, each);
      else {
        const total = multiply(probabilities, sum(weight, [0]));
        slope = add(slope, multiply(subtract(total, weight), each));
      }
    }
    return [multiply(slope, spread(where(counts, g, 0), logits.shape, [axis]))];
  },
});

/** How rows count. */
export interface RowOptions {
  /** One weight a class. */
  readonly weight: Value | null;
  /** Rows with this target do not count. */
  readonly ignoreIndex: number;
}

/** Checks rows of classes [..., C] with targets [...]; gives the targets as int32. */
function checkRows(op: string, rows: Value, target: Value, options: RowOptions): Value {
  const classes = rows.shape.at(-1) ?? 0;
  check(
    classes > 0 && sameShape(target.shape, rows.shape.slice(0, -1)),
    "shape",
    () =>
      `${op}: there must be one target for every row, got targets ${formatShape(target.shape)} for ${formatShape(rows.shape)} (classes last). Reshape one of them.`,
  );
  checkClassWeights(op, options.weight, classes);
  return checkedIndex(op, target, classes, "targets", options.ignoreIndex);
}

/** The loss of every row of logits [..., C] with targets [...]; 0 where the target is ignored. */
export function crossEntropy(
  logits: Value,
  target: Value,
  options: RowOptions & { readonly labelSmoothing: number },
): Value {
  const { weight, ignoreIndex, labelSmoothing } = options;
  const inputs = [cast(logits, "float32"), checkRows("crossEntropy", logits, target, options)];
  if (weight !== null) inputs.push(cast(weight, "float32"));
  const hasWeight = weight !== null;
  return apply(crossEntropyOp, inputs, { ignoreIndex, labelSmoothing, hasWeight })[0]!;
}

/** Checks that there is one weight a class. */
export function checkClassWeights(op: string, weight: Value | null, classes: number): void {
  check(
    weight === null || sameShape(weight.shape, [classes]),
    "shape",
    () =>
      `${op}: there must be one weight for each of the ${classes} classes, got shape ${formatShape(weight!.shape)}. Correct the weights.`,
  );
}

/** How much every row counts in a mean: 0 where ignored, else the weight of its class. */
export function rowWeights(rows: Value, target: Value, options: RowOptions): Value {
  const own = rowsOf(rows, cast(target, "int32"), options.weight, options.ignoreIndex);
  return own.targetWeight === null
    ? cast(own.counts, "float32")
    : where(own.counts, own.targetWeight, 0);
}

/** −x at the target class of every row, weighted: the loss of given log-probabilities. */
export function negativeLogLikelihood(rows: Value, target: Value, options: RowOptions): Value {
  const classNumbers = checkRows("nllLoss", rows, target, options);
  const { axis, isTarget } = rowsOf(rows, classNumbers, null, options.ignoreIndex);
  const chosen = sum(where(isTarget, rows, 0), [axis]);
  const weights = rowWeights(rows, classNumbers, options);
  return where(equal(weights, 0), 0, multiply(negate(chosen), weights));
}
