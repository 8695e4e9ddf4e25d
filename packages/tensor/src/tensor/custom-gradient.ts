/** Functions that bring their own gradient. */

import { check } from "../error.js";
import { withGradient } from "../graph/node.js";
import { customGradient as customGradientValues, detach } from "../ops/identity.js";
import { full } from "../ops/movement.js";
import { formatShape, sameShape } from "./shape.js";
import { Tensor } from "./tensor.js";

/** What the function given to `customGradient` returns. */
export interface CustomGradientResult<R extends Tensor | readonly Tensor[]> {
  /** The result or results. */
  readonly value: R;
  /**
   * From the cotangents of the results to those of the inputs: one tensor an input, `null` where
   * there is none; a single tensor stands for the first input.
   */
  readonly gradient: (...cotangents: Tensor[]) => Tensor | readonly (Tensor | null)[];
}

/**
 * A function whose gradient is given rather than derived. `fn` computes the value and says what its
 * gradient is; tensors it uses besides its inputs get no gradient.
 *
 * @example
 * ```ts
 * import { customGradient, grad, tensor, type Tensor } from "@x/tensor";
 *
 * // Rounds in the forward pass and passes gradients straight through.
 * const roundStraight = customGradient((x: Tensor) => ({ value: x.round(), gradient: (g) => g }));
 * console.log(await grad((x: Tensor) => roundStraight(x).mul(3))(tensor(0.7)).item()); // → 3
 * ```
 */
export function customGradient<A extends readonly Tensor[], R extends Tensor | readonly Tensor[]>(
  fn: (...inputs: A) => CustomGradientResult<R>,
): (...inputs: A) => R {
  return (...inputs) => {
    const { value, gradient } = withGradient(false, () => fn(...inputs));
    const results = listOf(value);
    const outputs = customGradientValues(
      inputs.map((input) => input.value),
      results.map((result) => detach(result.value)),
      (cotangents) => {
        const given = cotangents.map(
          (cotangent, i) => new Tensor(cotangent ?? full(results[i]!.shape, 0, "float32")),
        );
        const found = gradient(...given);
        return checkedGradients(inputs, listOf(found));
      },
    );
    const tensors = outputs.map((output) => new Tensor(output));
    // One tensor or as many as `forward` returned, which is what `R` says.
    return (value instanceof Tensor ? tensors[0] : tensors) as unknown as R;
  };
}

function listOf<T>(result: Tensor | readonly T[]): readonly (T | Tensor)[] {
  return result instanceof Tensor ? [result] : result;
}

function checkedGradients(
  inputs: readonly Tensor[],
  found: readonly (Tensor | null)[],
): (Tensor["value"] | null)[] {
  return inputs.map((input, i) => {
    const gradient = found[i] ?? null;
    check(
      gradient === null || sameShape(gradient.shape, input.shape),
      "gradient",
      () =>
        `customGradient: the gradient must have the shape of input ${i}, got ${formatShape(gradient!.shape)} for ${formatShape(input.shape)}. Correct the gradient function.`,
    );
    return gradient === null ? null : gradient.value;
  });
}
