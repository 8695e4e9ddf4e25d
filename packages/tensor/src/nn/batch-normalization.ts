/** Normalization of features over a batch. */

import { checkNumbers, count, nonNegative, probability } from "../tensor/arguments.js";
import { ones, zeros } from "../tensor/creation.js";
import { batchNorm } from "../tensor/normalization.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkAxes } from "./checks.js";
import { Module } from "./module.js";
import { Buffer, Parameter } from "./parameter.js";
import { withUpdates } from "./updates.js";

/** Options of the module `BatchNorm1d`. */
export interface BatchNorm1dOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
  /** How far the running statistics move toward those of the batch, from 0 to 1. Default 0.1. */
  readonly momentum?: number;
  /** Whether there are a weight and a bias. Default true. */
  readonly affine?: boolean;
}

/** What a call may come with. */
export interface BatchNorm1dCall {
  /**
   * Bool `[batch]` or `[batch, length]`: true for what counts. The rest has no part in the statistics,
   * and stays as it is. Default: all counts.
   */
  readonly mask?: Tensor | null;
}

/**
 * Batch normalization of features: `y = (x − mean) / √(variance + eps) · weight + bias`. In training
 * with the mean and the variance (divided by n) of each feature over the batch, outside training with
 * running ones. These follow in training: `running ← running + momentum · (now − running)`, the
 * variance divided by n − 1, when the result, or anything that depends on it, is computed.
 *
 * @example
 * ```ts
 * const norm = new BatchNorm1d(2);
 * const y = norm.forward(tensor([[1, 10], [3, 30]]));
 * console.log((await y.data()).map(Math.round)); // → Float32Array(4) [ -1, -1, 1, 1 ]
 * console.log((await norm.runningMean.data()).map((m) => Math.round(m * 10))); // → Float32Array(2) [ 2, 20 ]
 * ```
 *
 * @see Ioffe, Szegedy: Batch Normalization (2015)
 */
export class BatchNorm1d extends Module {
  /** How many features there are. */
  readonly numFeatures: number;
  /** Added to the variance. */
  readonly eps: number;
  /** How far the running statistics move. */
  readonly momentum: number;
  /** `[numFeatures]`, starting as ones; `null` without `affine`. */
  readonly weight: Parameter | null;
  /** `[numFeatures]`, starting as zeros; `null` without `affine`. */
  readonly bias: Parameter | null;
  /** `[numFeatures]`, starting as zeros. */
  readonly runningMean: Buffer;
  /** `[numFeatures]`, starting as ones. */
  readonly runningVar: Buffer;
  /** How many batches the statistics followed; int32 `[]`. */
  readonly numBatchesTracked: Buffer;

  /** @throws XError `argument` if a number is out of range */
  constructor(numFeatures: number, options: BatchNorm1dOptions = {}) {
    super();
    const { eps = 1e-5, momentum = 0.1, affine = true } = options;
    checkNumbers("BatchNorm1d", count, { numFeatures });
    checkNumbers("BatchNorm1d", nonNegative, { eps });
    checkNumbers("BatchNorm1d", probability, { momentum });
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.momentum = momentum;
    this.weight = affine ? new Parameter(ones([numFeatures])) : null;
    this.bias = affine ? new Parameter(zeros([numFeatures])) : null;
    this.runningMean = new Buffer(zeros([numFeatures]));
    this.runningVar = new Buffer(ones([numFeatures]));
    this.numBatchesTracked = new Buffer(zeros([], { dtype: "int32" }));
  }

  /**
   * From `[batch, numFeatures]` or `[batch, numFeatures, length]` to the same shape.
   *
   * @throws XError `shape` if the input or the mask does not fit
   */
  forward(x: Tensor, { mask = null }: BatchNorm1dCall = {}): Tensor {
    const { runningMean, runningVar, numBatchesTracked, weight, bias, eps, momentum } = this;
    const rest = x.shape.slice(2, 3);
    checkAxes("BatchNorm1d", "input", x, ["batch", this.numFeatures, ...rest]);
    const counted = x.shape.filter((_, axis) => axis !== 1);
    if (mask !== null) checkAxes("BatchNorm1d", "mask", mask, counted, "bool");
    const kept = (mask ?? ones(counted, { dtype: "bool" })).unsqueeze(1);
    const normalized = (mean: Tensor, variance: Tensor): Tensor => {
      const y = batchNorm(x, mean, variance, { weight, bias, eps });
      return mask === null ? y : y.where(kept, x);
    };
    if (!this.training) return normalized(runningMean, runningVar);
    const number = kept.int().sum();
    const total = (y: Tensor): Tensor => y.where(kept, 0).sum(rest.length === 0 ? 0 : [0, 2]);
    const mean = total(x).div(number.clamp(1));
    const squares = total(x.sub(mean.reshape([-1, ...rest.map(() => 1)])).square());
    return withUpdates(normalized(mean, squares.div(number.clamp(1))), [
      [runningMean, runningMean.lerp(mean.detach(), momentum)],
      [runningVar, runningVar.lerp(squares.detach().div(number.sub(1).clamp(1)), momentum)],
      [numBatchesTracked, numBatchesTracked.add(1)],
    ]);
  }
}
