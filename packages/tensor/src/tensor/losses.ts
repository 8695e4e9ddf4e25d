/** Losses. */

import { check } from "../error.js";
import type { Value } from "../graph/node.js";
import { add, divide, multiply, negate } from "../ops/elementwise.js";
import {
  checkClassWeights,
  crossEntropy as crossEntropyRows,
  negativeLogLikelihood,
  rowWeights,
  type RowOptions,
} from "../ops/cross-entropy.js";
import { permute } from "../ops/movement.js";
import { sum } from "../ops/reduce.js";
import { logSoftmax } from "../ops/softmax.js";
import {
  checkChoice,
  checkNumbers,
  finite,
  nonNegative,
  positive,
  probability,
  whole,
} from "./arguments.js";
import { isFloat } from "./dtype.js";
import { formatShape, sameShape } from "./shape.js";
import { Tensor } from "./tensor.js";

/** What becomes of the single losses: their mean, their sum, or nothing. */
export type Reduction = "mean" | "sum" | "none";

/** Options of most losses. */
export interface LossOptions {
  /** Default `"mean"`. */
  readonly reduction?: Reduction;
}

const reductions: readonly string[] = ["mean", "sum", "none"] satisfies Reduction[];

/** The reductions of `klDiv`. */
export const batchReductions: readonly string[] = [...reductions, "batchmean"];

/** The options that some losses have. */
interface AnyLossOptions {
  readonly reduction?: string;
  readonly ignoreIndex?: number;
  readonly labelSmoothing?: number;
  readonly beta?: number;
  readonly delta?: number;
  readonly margin?: number;
}

/** Checks the options of a loss, whichever it is. */
export function checkLossOptions(
  op: string,
  options: AnyLossOptions,
  allowed: readonly string[] = reductions,
): void {
  const { reduction = "mean", ignoreIndex = 0, labelSmoothing = 0 } = options;
  const { beta = 0, delta = 1, margin = 0 } = options;
  checkChoice(op, "reduction", reduction, allowed);
  checkNumbers(op, whole, { ignoreIndex });
  checkNumbers(op, probability, { labelSmoothing });
  checkNumbers(op, nonNegative, { beta });
  checkNumbers(op, positive, { delta });
  checkNumbers(op, finite, { margin });
}

function reduced(losses: Tensor, reduction: string = "mean"): Tensor {
  if (reduction === "none") return losses;
  return reduction === "sum" ? losses.sum() : losses.mean();
}

/** A loss whose input and target have one shape: the single losses, then their reduction. */
function pairwise(
  op: string,
  input: Tensor,
  target: Tensor,
  options: LossOptions & { readonly weight?: Tensor | null },
  losses: () => Tensor,
): Tensor {
  checkLossOptions(op, options);
  checkSame(op, input, target);
  return reduced(weighted(losses(), options.weight), options.reduction);
}

function weighted(losses: Tensor, weight: Tensor | null | undefined): Tensor {
  return weight ? losses.mul(weight) : losses;
}

function checkSame(op: string, input: Tensor, target: Tensor): void {
  check(
    sameShape(input.shape, target.shape),
    "shape",
    () =>
      `${op}: input and target must have the same shape, got ${formatShape(input.shape)} and ${formatShape(target.shape)}. Reshape one of them.`,
  );
}

/** Options of `crossEntropy`. */
export interface CrossEntropyOptions extends LossOptions {
  /** One weight a class. */
  readonly weight?: Tensor | null;
  /** Rows with this target do not count. Default −100. */
  readonly ignoreIndex?: number;
  /** How much of the target probability is spread evenly over all classes. Default 0. */
  readonly labelSmoothing?: number;
}

/** `x` with its class axis (1, or 0 of one row) moved to the end. */
function classesLast(op: string, x: Tensor): Value {
  check(
    x.rank > 0,
    "shape",
    () => `${op}: the input must have an axis of classes, got shape []. Add it.`,
  );
  if (x.rank <= 2) return x.value;
  const axes = x.shape.map((_, i) => i).filter((i) => i !== 1);
  return permute(x.value, [...axes, 1]);
}

/**
 * Cross entropy between logits and classes: −log softmax(x) at the target class, weighted, averaged
 * over the rows that count (by their weights).
 *
 * @param logits [rows, classes], [rows, classes, …positions], or [classes] for a single row
 * @param target class numbers (integers) [rows, …positions], or class probabilities of the logits'
 *   shape (floating point)
 *
 * @example
 * ```ts
 * import { crossEntropy, tensor } from "@x/tensor";
 *
 * const logits = tensor([[0, 0], [0, 0]]);
 * const loss = crossEntropy(logits, tensor([0, 1], { dtype: "int32" }));
 * console.log((await loss.item()).toFixed(4)); // → 0.6931
 * ```
 */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  options: CrossEntropyOptions = {},
): Tensor {
  const { labelSmoothing = 0 } = options;
  if (!isFloat(target.dtype)) {
    return classLoss("crossEntropy", logits, target, options, (rows, classes, own) =>
      crossEntropyRows(rows, classes, { ...own, labelSmoothing }),
    );
  }
  checkLossOptions("crossEntropy", options);
  checkSame("crossEntropy", logits, target);
  const rows = classesLast("crossEntropy", logits);
  const axis = rows.shape.length - 1;
  const classes = rows.shape[axis]!;
  const weight = options.weight?.value ?? null;
  checkClassWeights("crossEntropy", weight, classes);
  let goal = classesLast("crossEntropy", target);
  if (labelSmoothing > 0) {
    goal = add(multiply(goal, 1 - labelSmoothing), labelSmoothing / classes);
  }
  if (weight !== null) goal = multiply(goal, weight);
  const surprise = multiply(goal, negate(logSoftmax(rows, axis)));
  return reduced(new Tensor(sum(surprise, [axis])), options.reduction);
}

/** A loss of rows for class numbers: its mean is divided by how much the rows count. */
function classLoss(
  op: string,
  input: Tensor,
  target: Tensor,
  options: NllLossOptions,
  losses: (rows: Value, target: Value, options: RowOptions) => Value,
): Tensor {
  checkLossOptions(op, options);
  const rows = classesLast(op, input);
  const own = { weight: options.weight?.value ?? null, ignoreIndex: options.ignoreIndex ?? -100 };
  const each = losses(rows, target.value, own);
  const { reduction = "mean" } = options;
  if (reduction !== "mean") return reduced(new Tensor(each), reduction);
  const axes = each.shape.map((_, i) => i);
  return new Tensor(divide(sum(each, axes), sum(rowWeights(rows, target.value, own), axes)));
}

/** Options of `nllLoss`. */
export type NllLossOptions = Omit<CrossEntropyOptions, "labelSmoothing">;

/**
 * Negative log-likelihood: −x at the target class for log-probabilities x, weighted, averaged over
 * the rows that count.
 *
 * @param logProbabilities shapes as for the logits of `crossEntropy`
 *
 * @example
 * ```ts
 * import { nllLoss, tensor } from "@x/tensor";
 *
 * const logProbabilities = tensor([[-1, -2], [-3, -4]]);
 * const target = tensor([0, 1], { dtype: "int32" });
 * console.log(await nllLoss(logProbabilities, target).item()); // → 2.5
 * ```
 */
export function nllLoss(
  logProbabilities: Tensor,
  target: Tensor,
  options: NllLossOptions = {},
): Tensor {
  return classLoss("nllLoss", logProbabilities, target, options, negativeLogLikelihood);
}

/**
 * Squared differences: (x − target)².
 *
 * @example
 * ```ts
 * import { mseLoss, tensor } from "@x/tensor";
 *
 * console.log(await mseLoss(tensor([1, 5]), tensor([2, 3])).item()); // → 2.5
 * ```
 */
export function mseLoss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  return pairwise("mseLoss", input, target, options, () => input.sub(target).square());
}

/**
 * Absolute differences: |x − target|.
 *
 * @example
 * ```ts
 * import { l1Loss, tensor } from "@x/tensor";
 *
 * console.log(await l1Loss(tensor([1, 5]), tensor([2, 3])).item()); // → 1.5
 * ```
 */
export function l1Loss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  return pairwise("l1Loss", input, target, options, () => input.sub(target).abs());
}

/**
 * Quadratic for |x − target| below β, linear beyond: d²/(2β), |d| − β/2.
 *
 * @example
 * ```ts
 * import { smoothL1Loss, tensor } from "@x/tensor";
 *
 * const losses = smoothL1Loss(tensor([0, 5]), tensor([1, 1]), { reduction: "none" });
 * console.log(await losses.toArray()); // → [ 0.5, 3.5 ]
 * ```
 */
export function smoothL1Loss(
  input: Tensor,
  target: Tensor,
  options: LossOptions & { readonly beta?: number } = {},
): Tensor {
  const { beta = 1 } = options;
  return pairwise("smoothL1Loss", input, target, options, () =>
    beta === 0 ? input.sub(target).abs() : huber(input, target, beta).div(beta),
  );
}

/**
 * Quadratic for |x − target| up to δ, linear beyond: d²/2, δ (|d| − δ/2).
 *
 * @example
 * ```ts
 * import { huberLoss, tensor } from "@x/tensor";
 *
 * const losses = huberLoss(tensor([0, 5]), tensor([1, 1]), { delta: 2, reduction: "none" });
 * console.log(await losses.toArray()); // → [ 0.5, 6 ]
 * ```
 */
export function huberLoss(
  input: Tensor,
  target: Tensor,
  options: LossOptions & { readonly delta?: number } = {},
): Tensor {
  return pairwise("huberLoss", input, target, options, () =>
    huber(input, target, options.delta ?? 1),
  );
}

function huber(input: Tensor, target: Tensor, delta: number): Tensor {
  const difference = input.sub(target);
  const distance = difference.abs();
  const linear = distance.sub(delta / 2).mul(delta);
  return difference.square().mul(0.5).where(distance.le(delta), linear);
}

/**
 * Binary cross entropy of probabilities: −(y log p + (1 − y) log(1 − p)), the logarithms limited to
 * −100 from below.
 *
 * @example
 * ```ts
 * import { binaryCrossEntropy, tensor } from "@x/tensor";
 *
 * const loss = binaryCrossEntropy(tensor([0.5, 0.5]), tensor([0, 1]));
 * console.log((await loss.item()).toFixed(4)); // → 0.6931
 * ```
 */
export function binaryCrossEntropy(
  input: Tensor,
  target: Tensor,
  options: LossOptions & { readonly weight?: Tensor | null } = {},
): Tensor {
  return pairwise("binaryCrossEntropy", input, target, options, () => {
    const hit = input.log().clamp(-100);
    const miss = input.neg().log1p().clamp(-100);
    return target.mul(hit).add(target.neg().add(1).mul(miss)).neg();
  });
}

/** Options of `binaryCrossEntropyWithLogits`. */
export interface BinaryCrossEntropyOptions extends LossOptions {
  /** Multiplies the losses; broadcasts. */
  readonly weight?: Tensor | null;
  /** Multiplies the part of the positive examples; broadcasts. */
  readonly posWeight?: Tensor | null;
}

/**
 * Binary cross entropy of sigmoid(x), without overflow: −(w y log σ(x) + (1 − y) log σ(−x)).
 *
 * @example
 * ```ts
 * import { binaryCrossEntropyWithLogits, tensor } from "@x/tensor";
 *
 * const loss = binaryCrossEntropyWithLogits(tensor([0, 0]), tensor([0, 1]));
 * console.log((await loss.item()).toFixed(4)); // → 0.6931
 * ```
 */
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  options: BinaryCrossEntropyOptions = {},
): Tensor {
  return pairwise("binaryCrossEntropyWithLogits", input, target, options, () => {
    const positive = weighted(target.mul(input.logSigmoid()), options.posWeight);
    const negative = target.neg().add(1).mul(input.neg().logSigmoid());
    return positive.add(negative).neg();
  });
}

/** Options of `klDiv`. */
export interface KlDivOptions {
  /** `"batchmean"` divides the sum by the size of axis 0. Default `"mean"`. */
  readonly reduction?: Reduction | "batchmean";
  /** Whether the target holds log-probabilities too. Default false. */
  readonly logTarget?: boolean;
}

/**
 * Kullback–Leibler divergence of target probabilities y from log-probabilities x: y (log y − x).
 *
 * @example
 * ```ts
 * import { klDiv, tensor } from "@x/tensor";
 *
 * const p = tensor([[0.5, 0.5]]);
 * console.log(await klDiv(p.log(), p, { reduction: "batchmean" }).item()); // → 0
 * ```
 */
export function klDiv(input: Tensor, target: Tensor, options: KlDivOptions = {}): Tensor {
  const { reduction = "mean", logTarget = false } = options;
  checkLossOptions("klDiv", options, batchReductions);
  checkSame("klDiv", input, target);
  let losses: Tensor;
  if (logTarget) losses = target.exp().mul(target.sub(input));
  else {
    // 0 log 0 is 0, and so is its derivative.
    const isZero = target.le(0);
    const certain = target.maskedFill(isZero, 1);
    losses = target.mul(certain.log().sub(input)).maskedFill(isZero, 0);
  }
  if (reduction !== "batchmean") return reduced(losses, reduction);
  return losses.sum().div(input.shape[0] ?? 1);
}

/**
 * Cosine of the angle between vectors along `dim`: x·y / max(‖x‖ ‖y‖, eps).
 *
 * @example
 * ```ts
 * import { cosineSimilarity, tensor } from "@x/tensor";
 *
 * const [x, y] = [tensor([[1, 0]]), tensor([[2, 0]])];
 * console.log(await cosineSimilarity(x, y).toArray()); // → [ 1 ]
 * ```
 */
export function cosineSimilarity(
  x: Tensor,
  y: Tensor,
  options: { readonly dim?: number; readonly eps?: number } = {},
): Tensor {
  const { dim = 1, eps = 1e-8 } = options;
  const product = x.mul(y).sum(dim);
  return product.div(x.norm(2, dim).mul(y.norm(2, dim)).clamp(eps));
}

/**
 * For pairs of vectors [rows, size] and targets ±1: 1 − cos for alike pairs (1), max(0, cos − margin)
 * for different ones (−1).
 *
 * @example
 * ```ts
 * import { cosineEmbeddingLoss, tensor } from "@x/tensor";
 *
 * const [x, y] = [tensor([[1, 0]]), tensor([[0, 1]])];
 * const alike = tensor([1], { dtype: "int32" });
 * console.log(await cosineEmbeddingLoss(x, y, alike).item()); // → 1
 * ```
 */
export function cosineEmbeddingLoss(
  x: Tensor,
  y: Tensor,
  target: Tensor,
  options: LossOptions & { readonly margin?: number } = {},
): Tensor {
  checkLossOptions("cosineEmbeddingLoss", options);
  const cosine = cosineSimilarity(x, y, { dim: -1 });
  const alike = cosine.neg().add(1);
  const different = cosine.sub(options.margin ?? 0).relu();
  return reduced(alike.where(target.gt(0), different), options.reduction);
}
