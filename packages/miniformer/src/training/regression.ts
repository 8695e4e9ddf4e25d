/** Predicting numbers for a sequence, among them its future. */

import { fromData, huberLoss, l1Loss, mseLoss, noGrad, realize, type Tensor } from "@x/tensor";
import { check, checkChoice } from "@x/tensor/checks";
import type { SequenceModel } from "./classification.js";
import {
  checkOutput,
  SequenceCollator,
  type CollatedInput,
  type SequenceInput,
  type SequenceOptions,
} from "./inputs.js";
import type { Batch, Meter, Metrics, Task } from "./task.js";

/** A sequence and the numbers to predict from it. */
export interface MeasuredSequence extends SequenceInput {
  /** Equally many in every example. */
  readonly target: ArrayLike<number>;
}

/** Sequences and the numbers to predict from them. */
export interface MeasuredBatch extends Batch, CollatedInput {
  /** float32 `[batch, numbers]` */
  readonly targets: Tensor;
}

/** Options of {@link regression} and {@link forecasting}. */
export interface RegressionOptions extends SequenceOptions {
  /** Squared differences, absolute ones, or Huber's mix of both (δ = 1). Default `"mse"`. */
  readonly loss?: "mse" | "mae" | "huber";
}

const losses = { mse: mseLoss, mae: l1Loss, huber: huberLoss };

/**
 * The task of predicting numbers for a sequence. The model gives as many numbers an example as the
 * target has, in any shape with the batch first. The metrics are `loss`, `mse`, `rmse` and `mae`,
 * each a mean over all numbers.
 *
 * @throws XError `argument` if an option is out of range
 * @example
 * ```ts
 * const task = regression({ inputDim: 2, padding: "longest" });
 * const batch = task.collate([{ features: [1, 2, 3, 4], target: [5] }]);
 * console.log(batch.input.shape, batch.targets.shape, batch.count); // → [ 1, 2, 2 ] [ 1, 1 ] 1
 * ```
 */
export function regression(
  options: RegressionOptions = {},
): Task<SequenceModel, MeasuredSequence, MeasuredBatch> {
  return numbersTask("regression", options);
}

/**
 * The task of predicting the next rows of a series: {@link regression} of the windows that
 * `seriesWindows` cuts, which are all of one length and so need no padding.
 *
 * @throws XError `argument` if an option is out of range
 * @example
 * ```ts
 * const windows = seriesWindows([[1], [2], [3], [4]], { context: 3, horizon: 1 });
 * const batch = forecasting({ inputDim: 1 }).collate([windows.at!(0)]);
 * console.log(batch.input.shape, await batch.targets.toArray()); // → [ 1, 3, 1 ] [ [ 4 ] ]
 * ```
 */
export function forecasting(
  options: RegressionOptions & { readonly inputDim: number },
): Task<SequenceModel, MeasuredSequence, MeasuredBatch> {
  return numbersTask("forecasting", { padding: "longest", ...options });
}

function numbersTask(
  op: string,
  options: RegressionOptions,
): Task<SequenceModel, MeasuredSequence, MeasuredBatch> {
  const { loss = "mse" } = options;
  checkChoice(op, "loss", loss, Object.keys(losses));
  const collator = new SequenceCollator(op, options);
  const predict = (model: SequenceModel, batch: MeasuredBatch): Tensor => {
    const output = model.forward(batch.input, { keyMask: batch.keyMask });
    const [rows, numbers] = batch.targets.shape;
    const fits = output.shape[0] === rows && output.size === batch.targets.size;
    checkOutput(op, output, fits, `${numbers} numbers for each of ${rows} examples`);
    return output.reshape(batch.targets.shape);
  };
  return {
    name: op,
    metricNames: ["loss", "mse", "rmse", "mae"],
    lengthOf: (example) => collator.lengthOf(example),
    collate(examples) {
      const numbers = examples[0]!.target.length;
      const targets = new Float32Array(examples.length * numbers);
      examples.forEach(({ target }, i) => {
        check(
          target.length === numbers && numbers > 0 && Array.from(target).every(Number.isFinite),
          "argument",
          () =>
            `${op}: every target must hold ${numbers || "some"} finite numbers, got [${Array.from(target).join(", ")}]. Correct it.`,
        );
        targets.set(target, i * numbers);
      });
      return {
        ...collator.collate(examples),
        targets: fromData(targets, [examples.length, numbers]),
        count: targets.length,
      };
    },
    loss: (model, batch) =>
      losses[loss](predict(model, batch), batch.targets, { reduction: "sum" }),
    meter: () => new NumberMeter(predict, losses[loss]),
  };
}

class NumberMeter implements Meter<SequenceModel, MeasuredBatch> {
  readonly #predict: (model: SequenceModel, batch: MeasuredBatch) => Tensor;
  readonly #loss: (x: Tensor, y: Tensor, options: { readonly reduction: "sum" }) => Tensor;
  #sums = { loss: 0, squares: 0, distances: 0 };
  #count = 0;

  constructor(
    predict: (model: SequenceModel, batch: MeasuredBatch) => Tensor,
    loss: (x: Tensor, y: Tensor, options: { readonly reduction: "sum" }) => Tensor,
  ) {
    this.#predict = predict;
    this.#loss = loss;
  }

  async add(model: SequenceModel, batch: MeasuredBatch): Promise<void> {
    const { targets } = batch;
    const [loss, squares, distances] = noGrad(() => {
      const predicted = this.#predict(model, batch);
      return [
        this.#loss(predicted, targets, { reduction: "sum" }),
        mseLoss(predicted, targets, { reduction: "sum" }),
        l1Loss(predicted, targets, { reduction: "sum" }),
      ] as const;
    });
    await realize(loss, squares, distances);
    this.#sums.loss += await loss.item();
    this.#sums.squares += await squares.item();
    this.#sums.distances += await distances.item();
    this.#count += batch.count;
  }

  metrics(): Metrics {
    const count = this.#count;
    const mse = this.#sums.squares / count;
    return {
      loss: this.#sums.loss / count,
      mse,
      rmse: Math.sqrt(mse),
      mae: this.#sums.distances / count,
    };
  }
}
