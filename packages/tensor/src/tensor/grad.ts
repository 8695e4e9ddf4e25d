/** Differentiation of functions, and where it is switched off. */

import { check, XError } from "../error.js";
import { gradients } from "../autograd/gradients.js";
import { topologicalOrder } from "../graph/graph.js";
import {
  isGradientEnabled,
  isGradientLeaf,
  withGradient,
  type Node,
  type Value,
  type ValueGroup,
} from "../graph/node.js";
import { detach, isVariable, variable } from "../ops/identity.js";
import { full } from "../ops/movement.js";
import { formatShape } from "./shape.js";
import { Tensor } from "./tensor.js";

/** The value of a function and its gradient. */
export interface ValueAndGrad<G> {
  /** What the function returned. */
  readonly value: Tensor;
  /** The gradient with respect to the chosen argument or arguments. */
  readonly grad: G;
}

/**
 * The gradient function of `f`: takes the same arguments, returns the gradient with respect to
 * argument number `argnums`, or to several of them as an array. `f` must return one number.
 *
 * The result can be differentiated again: `grad(grad(f))` is the second derivative of a function of
 * one number.
 *
 * @example
 * ```ts
 * import { grad, tensor, type Tensor } from "@x/tensor";
 *
 * const cube = (x: Tensor) => x.pow(3);
 * console.log(await grad(cube)(tensor(2)).item()); // → 12
 * console.log(await grad(grad(cube))(tensor(2)).item()); // → 12
 * ```
 */
export function grad<A extends readonly unknown[]>(
  f: (...args: A) => Tensor,
  argnums?: number,
): (...args: A) => Tensor;
/** The gradients with respect to several arguments. */
export function grad<A extends readonly unknown[]>(
  f: (...args: A) => Tensor,
  argnums: readonly number[],
): (...args: A) => Tensor[];
export function grad<A extends readonly unknown[]>(
  f: (...args: A) => Tensor,
  argnums: number | readonly number[] = 0,
): (...args: A) => Tensor | Tensor[] {
  return (...args) => {
    const { grads } = differentiate("grad", f, args, argnums);
    return typeof argnums === "number" ? grads[0]! : grads;
  };
}

/**
 * As `grad`, but the returned function gives the value of `f` too, computed once.
 *
 * @example
 * ```ts
 * import { tensor, valueAndGrad, type Tensor } from "@x/tensor";
 *
 * const { value, grad } = valueAndGrad((x: Tensor) => x.square().sum())(tensor([1, 2]));
 * console.log(await value.item(), await grad.toArray()); // → 5 [ 2, 4 ]
 * ```
 */
export function valueAndGrad<A extends readonly unknown[]>(
  f: (...args: A) => Tensor,
  argnums?: number,
): (...args: A) => ValueAndGrad<Tensor>;
/** The value and the gradients with respect to several arguments. */
export function valueAndGrad<A extends readonly unknown[]>(
  f: (...args: A) => Tensor,
  argnums: readonly number[],
): (...args: A) => ValueAndGrad<Tensor[]>;
export function valueAndGrad<A extends readonly unknown[]>(
  f: (...args: A) => Tensor,
  argnums: number | readonly number[] = 0,
): (...args: A) => ValueAndGrad<Tensor | Tensor[]> {
  return (...args) => {
    const { value, grads } = differentiate("valueAndGrad", f, args, argnums);
    return { value, grad: typeof argnums === "number" ? grads[0]! : grads };
  };
}

function differentiate<A extends readonly unknown[]>(
  op: string,
  f: (...args: A) => Tensor,
  args: A,
  argnums: number | readonly number[],
): { value: Tensor; grads: Tensor[] } {
  const positions = typeof argnums === "number" ? [argnums] : argnums;
  const replaced: unknown[] = [...args];
  const variables = positions.map((position) => {
    const original = args[position];
    const isFloat = original instanceof Tensor && original.dtype === "float32";
    check(
      isFloat,
      "gradient",
      () =>
        `${op}: argument ${position} must be a float32 tensor, got ${original instanceof Tensor ? original.dtype : typeof original}. Choose others with argnums.`,
    );
    const value = variable(original.value);
    replaced[position] = new Tensor(value);
    return value;
  });

  // Replaced one by one: as many tensors, in the same places.
  const result: unknown = withGradient(true, () => f(...(replaced as unknown as A)));
  if (!(result instanceof Tensor)) {
    throw new XError(
      "gradient",
      `${op}: the function must return a tensor, got ${typeof result}. Do not make it async; read results outside.`,
    );
  }
  const output = result.value;
  check(
    result.size === 1,
    "gradient",
    () =>
      `${op}: the function must return one number, got shape ${formatShape(output.shape)}. Reduce it, e.g. with sum().`,
  );

  const isInner = positions.some((position) => (args[position] as Tensor).requiresGrad);
  const hasHistory =
    isGradientEnabled() &&
    (isInner || reachesOthers(output, new Set(variables.map((v) => v.node))));
  const found = withGradient(hasHistory, () =>
    gradients({
      outputs: [output],
      seeds: [full(output.shape, 1, "float32")],
      wanted: new Set(variables),
    }),
  );
  const cotangents = variables.map((value) => found.get(value) ?? full(value.shape, 0, "float32"));
  const value = hasHistory ? output : detach(output);
  // The value and the gradients are computed together, unless they are steps of a larger gradient.
  if (!isInner) {
    const values = new Set([value, ...cotangents].filter((v) => v.storage === null));
    const group: ValueGroup = { values };
    for (const member of values) member.group ??= group;
  }
  return { value: new Tensor(value), grads: cotangents.map((cotangent) => new Tensor(cotangent)) };
}

/** Whether `output` depends on anything to differentiate with respect to besides `own`. */
function reachesOthers(output: Value, own: ReadonlySet<Node>): boolean {
  return topologicalOrder([output], own).some(
    (node) =>
      !own.has(node) &&
      (isVariable(node) || (node.inputs.length === 0 && isGradientLeaf(node.outputs[0]!))),
  );
}

/**
 * Runs `body` without recording history: what it computes has no gradients.
 *
 * @example
 * ```ts
 * import { noGrad, tensor } from "@x/tensor";
 *
 * const weight = tensor([1, 2], { requiresGrad: true });
 * console.log(noGrad(() => weight.mul(2)).requiresGrad); // → false
 * ```
 */
export function noGrad<T>(body: () => T): T {
  return synchronously("noGrad", false, body);
}

/**
 * Runs `body` with history recorded, also inside `noGrad`.
 *
 * @example
 * ```ts
 * import { enableGrad, noGrad, tensor } from "@x/tensor";
 *
 * const weight = tensor([1, 2], { requiresGrad: true });
 * console.log(noGrad(() => enableGrad(() => weight.mul(2))).requiresGrad); // → true
 * ```
 */
export function enableGrad<T>(body: () => T): T {
  return synchronously("enableGrad", true, body);
}

function synchronously<T>(op: string, enabled: boolean, body: () => T): T {
  const result = withGradient(enabled, body);
  if (result instanceof Promise) {
    throw new XError(
      "argument",
      `${op}: the function must not be async, got one that returned a promise. Record inside, await outside.`,
    );
  }
  return result;
}
