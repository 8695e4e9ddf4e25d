/** Batch normalisation over the tokens that are not padding. */

import { ones, tensor, zeros, type Tensor } from "@x/tensor";
import { Buffer, Module, Parameter, withUpdates } from "@x/tensor/nn";

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
    this.numBatchesTracked = new Buffer(tensor(0, { dtype: "int32" }));
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
    const kept = mask?.unsqueeze(-1) ?? null;
    if (!this.training) {
      const scale = runningVar.add(eps).rsqrt().mul(weight);
      return choose(kept, x.sub(runningMean).mul(scale).add(bias), x);
    }
    const [batch, length] = x.shape as [number, number];
    const number = mask?.float().sum().clamp(1) ?? batch * length;
    const total = (y: Tensor): Tensor => choose(kept, y, 0).sum([0, 1]);
    const mean = total(x).div(number);
    const centered = x.sub(mean);
    const squares = total(centered.square());
    const variance = squares.div(number);
    const y = centered.mul(variance.add(eps).rsqrt().mul(weight)).add(bias);
    const degrees = typeof number === "number" ? Math.max(number - 1, 1) : number.sub(1).clamp(1);
    return withUpdates(choose(kept, y, x), [
      [runningMean, runningMean.lerp(mean.detach(), momentum)],
      [runningVar, runningVar.lerp(squares.detach().div(degrees), momentum)],
      [numBatchesTracked, numBatchesTracked.add(1)],
    ]);
  }
}

/** `x` where the condition holds, or everywhere without one. */
function choose(condition: Tensor | null, x: Tensor, other: Tensor | number): Tensor {
  return condition === null ? x : x.where(condition, other);
}
