/** One step of the optimizer: the batches it learns from, their gradients, and the update. */

import { fromData, realize, type Tensor } from "@x/tensor";
import type { Module } from "@x/tensor/nn";
import { clipGradNorm, type Optimizer } from "@x/tensor/optim";
import { withHalfWeights, type LossScale } from "./mixed-precision.js";
import type { Batch, Task } from "./task.js";

/** What takes part in every step. */
export interface StepParts<M extends Module, E, B extends Batch> {
  readonly model: M;
  readonly task: Task<M, E, B>;
  readonly optimizer: Optimizer;
  /** The largest norm of all gradients; `null`: any. */
  readonly clipNorm: number | null;
  /** The scale of the loss if the matrices are rounded to float16. */
  readonly lossScale: LossScale | null;
  /** Something added to the mean loss of each batch. */
  readonly auxiliaryLoss: ((model: M) => Tensor) | null;
}

/** What became of a step. */
export interface StepResult {
  /** The mean loss over all batches, with the auxiliary one. */
  readonly loss: number;
  /** The norm of the gradients before clipping, if it was asked for. */
  readonly gradientNorm: number | null;
  /** How many losses that is the mean of. */
  readonly count: number;
  /** Whether the step was left out, because gradients overflowed. */
  readonly skipped: boolean;
}

/**
 * Learns from some batches as if they were one. With a single batch, loss, gradients, clipping and
 * update are one plan; with several, each but the last has its gradients added up by one of its own.
 */
export async function optimizerStep<M extends Module, E, B extends Batch>(
  parts: StepParts<M, E, B>,
  batches: readonly B[],
): Promise<StepResult> {
  const { model, task, optimizer, clipNorm, lossScale, auxiliaryLoss } = parts;
  const count = batches.reduce((sum, batch) => sum + batch.count, 0);
  const scale = lossScale?.scale ?? 1;
  optimizer.zeroGrad();
  const losses: Tensor[] = [];
  for (const [i, batch] of batches.entries()) {
    const record = (): Tensor => task.loss(model, batch);
    const sum = lossScale === null ? record() : withHalfWeights(model, record);
    const mean = sum.div(Math.max(1, count));
    const auxiliary = auxiliaryLoss?.(model).div(batches.length);
    const loss = auxiliary === undefined ? mean : mean.add(auxiliary);
    // A scaled gradient of the loss itself, so that the loss is computed with its gradients.
    loss.backward(lossScale === null ? undefined : fromData(Float32Array.of(scale), []));
    losses.push(loss);
    // All but the last are computed at once, so that only one batch is in memory.
    if (i < batches.length - 1) await realize(loss);
  }
  const parameters = optimizer.paramGroups.flatMap(({ params }) => params);
  if (lossScale !== null) {
    for (const parameter of parameters) {
      if (parameter.grad !== null) parameter.grad = parameter.grad.mul(1 / scale);
    }
  }
  const norm =
    clipNorm === null && lossScale === null ? null : clipGradNorm(parameters, clipNorm ?? Infinity);
  // Whether to take the step is known only when the gradients are.
  const wasFinite = lossScale === null || Number.isFinite(await norm!.item());
  if (wasFinite) await optimizer.step();
  else optimizer.zeroGrad();
  lossScale?.update(wasFinite);
  let loss = 0;
  for (const part of losses) loss += await part.item();
  return {
    loss,
    gradientNorm: norm === null ? null : await norm.item(),
    count,
    skipped: !wasFinite,
  };
}
