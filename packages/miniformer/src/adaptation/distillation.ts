/** Learning from the outputs of another model. */

import { crossEntropy, klDiv, type Tensor } from "@x/tensor";
import {
  check,
  checkNumbers,
  formatShapes,
  positive,
  probability,
  sameShape,
} from "@x/tensor/checks";

/** Options of {@link distillationLoss}. */
export interface DistillationOptions {
  /** What logits are divided by before both models are compared. Default 2. */
  readonly temperature?: number;
  /** The part of the teacher in the loss, from 0 (labels only) to 1 (teacher only). Default 0.5. */
  readonly alpha?: number;
  /** Positions with this label count in neither part. Default −100. */
  readonly ignoreIndex?: number;
}

/**
 * What a student learns from a teacher and from labels:
 * `alpha T² KL(softmax(t / T) ‖ softmax(s / T)) + (1 − alpha) CE(s, labels)`, each part the mean over all
 * positions that count. No gradient flows to the teacher.
 *
 * @param studentLogits `[..., classes]`
 * @param teacherLogits `[..., classes]`
 * @param labels integers `[...]`; `null` where there are none, which needs `alpha` 1
 * @throws XError `shape` if shapes do not fit; `argument` if an option is out of range, or there are no
 * labels for their part
 * @example
 * ```ts
 * const student = tensor([[0, 0]]);
 * const teacher = tensor([[2, 0]]);
 * const label = tensor([0], { dtype: "int32" });
 * const loss = distillationLoss(student, teacher, label, { temperature: 1, alpha: 0.5 });
 * console.log((await loss.item()).toFixed(4)); // → 0.5105
 * ```
 *
 * @see Hinton, Vinyals and Dean: Distilling the Knowledge in a Neural Network (2015)
 */
export function distillationLoss(
  studentLogits: Tensor,
  teacherLogits: Tensor,
  labels: Tensor | null,
  options: DistillationOptions = {},
): Tensor {
  const { temperature = 2, alpha = 0.5, ignoreIndex = -100 } = options;
  checkNumbers("distillationLoss", positive, { temperature });
  checkNumbers("distillationLoss", probability, { alpha });
  check(
    studentLogits.rank > 0 &&
      sameShape(studentLogits.shape, teacherLogits.shape) &&
      (labels === null || sameShape(labels.shape, studentLogits.shape.slice(0, -1))),
    "shape",
    () =>
      `distillationLoss: the logits must have equal shapes [..., classes] and the labels [...], got ${formatShapes(studentLogits, teacherLogits, ...(labels === null ? [] : [labels]))}. Reshape them.`,
  );
  check(
    labels !== null || alpha === 1,
    "argument",
    () =>
      `distillationLoss: the part of the labels must be 0 where there are none, got alpha ${alpha}. Pass labels, or alpha: 1.`,
  );
  const classes = studentLogits.shape.at(-1)!;
  const rows = (logits: Tensor): Tensor => logits.reshape([-1, classes]);
  const student = rows(studentLogits);
  const soft = (logits: Tensor): Tensor => logits.div(temperature).logSoftmax(-1);
  const target = soft(rows(teacherLogits).detach());
  const divergences = klDiv(soft(student), target, { reduction: "none", logTarget: true }).sum(-1);
  if (labels === null) return divergences.mean().mul(temperature ** 2);
  const flat = labels.reshape([-1]);
  const counts = flat.ne(ignoreIndex);
  const divergence = divergences.mul(counts).sum().div(counts.sum().maximum(1));
  const entropy = crossEntropy(student, flat, { ignoreIndex });
  return divergence.mul(alpha * temperature ** 2).add(entropy.mul(1 - alpha));
}
