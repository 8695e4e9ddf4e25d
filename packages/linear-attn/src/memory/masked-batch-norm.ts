/** Batch normalisation over the tokens that are not padding. */

import type { Tensor } from "@x/tensor";
import type { Update } from "@x/tensor/nn";
import { Buffer, Module, ones, Parameter, withUpdates, zeros } from "../engine.js";

/** What a batch normalisation is trained with and remembers. */
class Statistics extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly runningMean: Buffer;
  readonly runningVar: Buffer;
  readonly numBatchesTracked: Buffer;

  constructor(size: number) {
    super();
    this.weight = new Parameter(ones([size]));
    this.bias = new Parameter(zeros([size]));
    this.runningMean = new Buffer(zeros([size]));
    this.runningVar = new Buffer(ones([size]));
    this.numBatchesTracked = new Buffer(zeros([], { dtype: "int32" }));
  }
}

const momentum = 0.1;
const eps = 1e-5;

/**
 * `(x − mean) / √(variance + 1e-5) · weight + bias`: in training with the mean and variance of the
 * tokens that a mask leaves, which running ones follow; otherwise with those. Masked tokens stay as
 * they are.
 */
export class MaskedBatchNorm1D extends Module {
  /** Weight, bias and running statistics. */
  readonly fn: Statistics;

  constructor(size: number) {
    super();
    this.fn = new Statistics(size);
  }

  /** From [batch, length, size] to the same; `mask` is bool [batch, length], true for tokens. */
  forward(x: Tensor, mask: Tensor | null = null): Tensor {
    const { weight, bias, runningMean, runningVar, numBatchesTracked } = this.fn;
    const kept = (mask ?? ones(x.shape.slice(0, 2), { dtype: "bool" })).unsqueeze(-1);
    const normalized = (mean: Tensor, variance: Tensor): Tensor =>
      x.sub(mean).mul(variance.add(eps).rsqrt().mul(weight)).add(bias).where(kept, x);
    if (!this.training) return normalized(runningMean, runningVar);
    const number = kept.float().sum();
    const total = (y: Tensor): Tensor => y.where(kept, 0).sum([0, 1]);
    const mean = total(x).div(number.clamp(1));
    const squares = total(x.sub(mean).square());
    const follow = (running: Buffer, now: Tensor): Update => [
      running,
      running.lerp(now.detach(), momentum),
    ];
    return withUpdates(normalized(mean, squares.div(number.clamp(1))), [
      follow(runningMean, mean),
      follow(runningVar, squares.div(number.sub(1).clamp(1))),
      [numBatchesTracked, numBatchesTracked.add(1)],
    ]);
  }
}
