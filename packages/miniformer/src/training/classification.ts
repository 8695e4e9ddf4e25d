/** Predicting one class for a sequence. */

import { crossEntropy, fromData, noGrad, realize, type Tensor } from "@x/tensor";
import { check, checkNumbers, count, probability } from "@x/tensor/checks";
import type { Module } from "@x/tensor/nn";
import {
  checkOutput,
  SequenceCollator,
  type CollatedInput,
  type SequenceInput,
  type SequenceOptions,
} from "./inputs.js";
import { ClassCounts } from "./metrics.js";
import type { Batch, Meter, Metrics, Task } from "./task.js";

/** A model of sequences: tokens or vectors, with a mask where some of them are padded. */
export interface SequenceModel extends Module {
  /** int32 `[batch, length]` or float32 `[batch, length, inputDim]` to what the task asks for */
  forward(input: Tensor, call?: { readonly keyMask?: Tensor | null }): Tensor;
}

/** A sequence and its class. */
export interface LabelledSequence extends SequenceInput {
  /** The number of the class, counted from 0. */
  readonly label: number;
}

/** Sequences and their classes. */
export interface LabelledBatch extends Batch, CollatedInput {
  /** int32 `[batch]` */
  readonly targets: Tensor;
  /** The same numbers on the JavaScript side. */
  readonly labels: Int32Array;
}

/** Options of {@link classification}. */
export interface ClassificationOptions extends SequenceOptions {
  /** How many classes there are. */
  readonly classes: number;
  /** How much of the target probability is spread evenly over all classes. Default 0. */
  readonly labelSmoothing?: number;
}

/**
 * The task of naming the class of a sequence. The loss is the cross entropy in nats of the logits
 * `[batch, classes]` that the model gives; the metrics are `loss`, `accuracy` and `f1Macro`.
 *
 * @throws XError `argument` if an option is out of range
 * @example
 * ```ts
 * const task = classification({ classes: 2 });
 * const batch = task.collate([{ tokens: [4, 5], label: 1 }]);
 * console.log(batch.input.shape, await batch.targets.toArray()); // → [ 1, 8 ] [ 1 ]
 * ```
 */
export function classification(
  options: ClassificationOptions,
): Task<SequenceModel, LabelledSequence, LabelledBatch> {
  const op = "classification";
  const { classes, labelSmoothing = 0 } = options;
  checkNumbers(op, count, { classes });
  checkNumbers(op, probability, { labelSmoothing });
  const collator = new SequenceCollator(op, options);
  const logits = (model: SequenceModel, batch: LabelledBatch): Tensor => {
    const output = model.forward(batch.input, { keyMask: batch.keyMask });
    const { shape } = output;
    const fits = shape.length === 2 && shape[0] === batch.count && shape[1] === classes;
    checkOutput(op, output, fits, `logits [batch, ${classes}]`);
    return output;
  };
  return {
    name: op,
    metricNames: ["loss", "accuracy", "f1Macro"],
    lengthOf: (example) => collator.lengthOf(example),
    collate(examples) {
      for (const { label } of examples) {
        check(
          Number.isInteger(label) && label >= 0 && label < classes,
          "argument",
          () =>
            `${op}: labels must be whole numbers from 0 to ${classes - 1}, got ${String(label)}. Correct them, or classes.`,
        );
      }
      const labels = Int32Array.from(examples, ({ label }) => label);
      const targets = fromData(labels, [labels.length]);
      return { ...collator.collate(examples), targets, labels, count: labels.length };
    },
    loss: (model, batch) =>
      crossEntropy(logits(model, batch), batch.targets, { reduction: "sum", labelSmoothing }),
    meter: () => new ClassMeter(logits),
  };
}

class ClassMeter implements Meter<SequenceModel, LabelledBatch> {
  readonly #logits: (model: SequenceModel, batch: LabelledBatch) => Tensor;
  readonly #counts = new ClassCounts();
  #surprise = 0;

  constructor(logits: (model: SequenceModel, batch: LabelledBatch) => Tensor) {
    this.#logits = logits;
  }

  async add(model: SequenceModel, batch: LabelledBatch): Promise<void> {
    const [surprise, predicted] = noGrad(() => {
      const logits = this.#logits(model, batch);
      return [
        crossEntropy(logits, batch.targets, { reduction: "sum" }),
        logits.argmax(-1),
      ] as const;
    });
    await realize(surprise, predicted);
    this.#surprise += await surprise.item();
    this.#counts.add(await predicted.data(), batch.labels);
  }

  metrics(): Metrics {
    const { accuracy, f1Macro, total } = this.#counts;
    return { loss: this.#surprise / total, accuracy, f1Macro };
  }
}
