/** Trading time for memory: recompute in the backward pass instead of keeping intermediates. */

import { gradients } from "../autograd/gradients.js";
import { trackedSources } from "../autograd/sources.js";
import { isGradientEnabled, lastSerial, withGradient, type Value } from "../graph/node.js";
import { recordDraws, replayDraws } from "../ops/draw.js";
import { after, customGradient, detach, variable } from "../ops/identity.js";
import { Tensor } from "./tensor.js";

/**
 * Calls `fn(...inputs)`, but keeps none of its intermediate results for the backward pass: they are
 * computed again there. Tensors that `fn` uses besides its inputs get their gradients too, and
 * random numbers are the same the second time.
 *
 * @example
 * ```ts
 * import { checkpoint, tensor } from "@x/tensor";
 *
 * const x = tensor([1, 2], { requiresGrad: true });
 * const y = checkpoint((x) => x.exp().log().square(), x);
 * y.sum().backward();
 * console.log(await x.grad!.toArray()); // → [ 2, 4 ]
 * ```
 */
export function checkpoint<A extends readonly Tensor[], R extends Tensor | readonly Tensor[]>(
  fn: (...inputs: A) => R,
  ...inputs: A
): R {
  if (!isGradientEnabled()) return fn(...inputs);
  const start = lastSerial();
  const { result, draws } = recordDraws(() => fn(...inputs));
  const results = valuesOf(result);
  const sources = trackedSources(results, start);
  if (sources.length === 0) return result;

  const outputs = customGradient(sources, results.map(detach), (cotangents) => {
    const earlier = cotangents.find((cotangent) => cotangent !== null)!;
    const renewed = new Map<Value, Value>();
    for (const { value } of inputs) {
      const delayed = after(value, earlier);
      renewed.set(value, sources.includes(value) ? variable(delayed) : delayed);
    }
    const again = withGradient(true, () =>
      replayDraws(draws, () =>
        // As many tensors as were given; the type of `map` does not count.
        fn(...(inputs.map(({ value }) => new Tensor(renewed.get(value)!)) as unknown as A)),
      ),
    );
    const wanted = sources.map((source) => renewed.get(source) ?? source);
    const recomputed = valuesOf(again);
    const live = recomputed.flatMap((output, i) => (cotangents[i] ? [{ output, i }] : []));
    const found = gradients({
      outputs: live.map(({ output }) => output),
      seeds: live.map(({ i }) => cotangents[i]!),
      wanted: new Set(wanted),
      boundary: new Set(wanted.map((value) => value.node)),
    });
    return wanted.map((value) => found.get(value) ?? null);
  });
  const tensors = outputs.map((value) => new Tensor(value));
  // One tensor or as many as `fn` returned, which is what `R` says.
  return (result instanceof Tensor ? tensors[0] : tensors) as unknown as R;
}

function valuesOf(result: Tensor | readonly Tensor[]): readonly Value[] {
  return result instanceof Tensor ? [result.value] : result.map((tensor) => tensor.value);
}
