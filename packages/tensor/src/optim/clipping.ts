/** Limiting gradients before a step. */

import { joinGroup, withGradient, type ValueGroup } from "../graph/node.js";
import { checkNumbers, type Rule } from "../tensor/arguments.js";
import { zeros } from "../tensor/creation.js";
import { stack } from "../tensor/joining.js";
import { Tensor } from "../tensor/tensor.js";

function withGradients(parameters: Iterable<Tensor> | Tensor): Tensor[] {
  const given = parameters instanceof Tensor ? [parameters] : [...parameters];
  return given.filter(({ grad }) => grad !== null);
}

// Infinity too: no limit.
const atLeast0: Rule = ["be at least 0", (limit) => limit >= 0];

/** Options of `clipGradNorm`. */
export interface ClipGradNormOptions {
  /** Which norm: a number above 0, or `Infinity` for the largest absolute value. Default 2. */
  readonly normType?: number;
}

/**
 * Scales all gradients by the same factor so that their norm, all of them taken as one vector, is
 * at most `maxNorm`: `g ← g · min(1, maxNorm / (norm + 1e-6))`. Nothing runs yet: the optimizer's
 * step computes loss, gradients, norm and update together.
 *
 * @returns the norm before
 * @throws XError `argument` if `maxNorm` or the kind of norm is out of range
 * @example
 * ```ts
 * const weight = new Parameter(tensor([3, 4]));
 * weight.square().mul(0.5).sum().backward();
 * const norm = clipGradNorm([weight], 1);
 * console.log(await norm.item()); // → 5
 * console.log([...(await weight.grad!.data())].map((x) => x.toFixed(3))); // → [ '0.600', '0.800' ]
 * ```
 *
 * @see Pascanu, Mikolov, Bengio: On the difficulty of training recurrent neural networks (2013)
 */
export function clipGradNorm(
  parameters: Iterable<Tensor> | Tensor,
  maxNorm: number,
  options: ClipGradNormOptions = {},
): Tensor {
  const { normType = 2 } = options;
  checkNumbers("clipGradNorm", atLeast0, { maxNorm });
  checkNumbers("clipGradNorm", ["be above 0", (p) => p > 0], { normType });
  const owners = withGradients(parameters);
  if (owners.length === 0) return zeros([]);
  return withGradient(false, () => {
    const norm = totalNorm(
      owners.map(({ grad }) => grad!),
      normType,
    );
    const factor = norm.add(1e-6).reciprocal().mul(maxNorm).clamp(null, 1);
    // Whoever reads the norm first has everything computed that belongs to it.
    const pending = owners.find(({ grad }) => grad!.value.group !== null);
    const group: ValueGroup = pending?.grad!.value.group ?? { values: new Set() };
    for (const owner of owners) {
      owner.grad = owner.grad!.mul(factor);
      joinGroup(group, owner.grad.value);
    }
    joinGroup(group, norm.value);
    return norm;
  });
}

/** The p-norm of all tensors taken as one vector; the usual one without a root for each tensor. */
function totalNorm(tensors: readonly Tensor[], p: number): Tensor {
  if (p !== 2) return stack(tensors.map((x) => x.norm(p))).norm(p);
  return stack(tensors.map((x) => x.square().sum()))
    .sum()
    .sqrt();
}

/**
 * Limits every element of all gradients to [−clipValue, clipValue]. Nothing runs yet.
 *
 * @throws XError `argument` if the limit is not a number of at least 0
 */
export function clipGradValue(parameters: Iterable<Tensor> | Tensor, clipValue: number): void {
  checkNumbers("clipGradValue", atLeast0, { "the limit": clipValue });
  withGradient(false, () => {
    for (const owner of withGradients(parameters)) {
      owner.grad = owner.grad!.clamp(-clipValue, clipValue);
    }
  });
}
