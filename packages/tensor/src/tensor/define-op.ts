/** Operations that users and other packages define. */

import { apply, type Attributes, type Spec } from "../graph/node.js";
import { definePrimitive } from "../ops/define.js";
import { Tensor } from "./tensor.js";

/** What a gradient rule may look at. */
export interface GradientContext {
  /** What the operation was called with. */
  readonly inputs: readonly Tensor[];
  /** What it gave. */
  readonly outputs: readonly Tensor[];
  /** Its static parameters. */
  readonly attributes: Attributes;
}

/** An operation for `defineOp`. */
export interface OpDefinition {
  /** `library.operation`; devices find native kernels by it. */
  readonly name: string;
  /** Shapes and types of the results, from those of the inputs; throws where they do not fit. */
  readonly infer: (inputs: readonly Spec[], attributes: Attributes) => readonly Spec[];
  /**
   * The meaning, in other operations. It is the oracle for tests, what runs on devices without a
   * native kernel, and the source of the gradient where `gradient` is absent.
   */
  readonly compose: (
    inputs: readonly Tensor[],
    attributes: Attributes,
  ) => Tensor | readonly Tensor[];
  /**
   * From the cotangents of the results (`null` where nothing depends on one) to those of the inputs
   * (`null` where there is none).
   */
  readonly gradient?: (
    context: GradientContext,
    cotangents: readonly (Tensor | null)[],
  ) => readonly (Tensor | null)[];
}

/**
 * Makes an operation of its own out of a definition in other operations.
 *
 * Returns a function of the inputs and the static attributes (numbers, strings, booleans, `null` and
 * arrays of numbers; they are part of a plan's identity) that gives the results.
 *
 * @example
 * ```ts
 * import { defineOp, tensor } from "@x/tensor";
 *
 * const geometricMean = defineOp({
 *   name: "example.geometricMean",
 *   infer: ([a]) => [a!],
 *   compose: ([a, b]) => a!.mul(b!).sqrt(),
 * });
 * const [mean] = geometricMean([tensor([1, 4]), tensor([4, 9])]);
 * console.log(await mean!.toArray()); // → [ 2, 6 ]
 * ```
 */
export function defineOp(
  definition: OpDefinition,
): (inputs: readonly Tensor[], attributes?: Attributes) => Tensor[] {
  const { gradient } = definition;
  const op = definePrimitive({
    name: definition.name,
    infer: definition.infer,
    compose: (inputs, attributes) => {
      const results = definition.compose(
        inputs.map((value) => new Tensor(value)),
        attributes,
      );
      return results instanceof Tensor ? [results.value] : results.map((result) => result.value);
    },
    ...(gradient && {
      gradient: (node, cotangents) =>
        gradient(
          {
            inputs: node.inputs.map((value) => new Tensor(value)),
            outputs: node.outputs.map((value) => new Tensor(value)),
            attributes: node.attributes,
          },
          cotangents.map((cotangent) => (cotangent === null ? null : new Tensor(cotangent))),
        ).map((result) => (result === null ? null : result.value)),
    }),
  });
  return (inputs, attributes) =>
    apply(
      op,
      inputs.map((tensor) => tensor.value),
      attributes,
    ).map((value) => new Tensor(value));
}
