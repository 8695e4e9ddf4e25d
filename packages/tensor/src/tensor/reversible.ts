/** Networks whose inputs follow from their outputs: nothing has to be kept for the backward pass. */

import { gradients } from "../autograd/gradients.js";
import { trackedSources } from "../autograd/sources.js";
import { check } from "../error.js";
import { isGradientEnabled, lastSerial, withGradient, type Value } from "../graph/node.js";
import { recordDraws, replayDraws, type Draw } from "../ops/draw.js";
import { add, subtract } from "../ops/elementwise.js";
import { after, customGradient, detach, variable } from "../ops/identity.js";
import { full } from "../ops/movement.js";
import { formatShape, sameShape } from "./shape.js";
import { Tensor } from "./tensor.js";

/** A function of one tensor, to one of the same shape. */
type Step = (x: Tensor) => Tensor;

/** A step as it was done: what it computed with, and its random numbers. */
interface DoneStep {
  readonly step: Step;
  readonly draws: readonly Draw[];
}

/**
 * Additive couplings in a row: each step turns the pair `(a, b)` into `(b, a + step(b))`, and the last
 * pair is the result. Since `a` follows from what comes out, the backward pass computes the pairs
 * again, from the last to the first, and keeps the intermediate results of one step only: the memory
 * of a network does not depend on the number of its steps.
 *
 * Tensors that the steps use besides their inputs get their gradients too, and random numbers are the
 * same the second time. What comes back differs from what was by the rounding of a sum and a
 * difference.
 *
 * @param steps functions to the shape of their input
 * @throws XError `shape` if the tensors, or what a step gives, differ in shape
 * @example
 * ```ts
 * import { reversible, tensor } from "@x/tensor";
 *
 * const x = tensor([1, 2], { requiresGrad: true });
 * const [a, b] = reversible([(x) => x.square(), (x) => x.mul(3)], x, x);
 * console.log(await b.toArray()); // → [ 7, 20 ]
 * a.add(b).sum().backward();
 * console.log(await x.grad!.toArray()); // → [ 13, 21 ]
 * ```
 *
 * @see Gomez et al.: The Reversible Residual Network (2017)
 */
export function reversible(steps: readonly Step[], a: Tensor, b: Tensor): [Tensor, Tensor] {
  const start = lastSerial();
  const done: DoneStep[] = [];
  let [first, second] = [a, b];
  for (const step of steps) {
    const { result, draws } = recordDraws(() => step(second));
    checkShapes(first, second, result);
    done.push({ step, draws });
    [first, second] = [second, first.add(result)];
  }
  const results = [first.value, second.value];
  const sources = isGradientEnabled() ? trackedSources(results, start) : [];
  if (sources.length === 0) return [first, second];
  const outputs = customGradient(sources, results.map(detach), (cotangents) => {
    const [dp, dq] = outputs.map(
      (value, i) => cotangents[i] ?? full(value.shape, 0, "float32"),
    ) as [Value, Value];
    const found = new Map<Value, Value>();
    const accumulate = (source: Value, cotangent: Value): void => {
      const before = found.get(source);
      found.set(source, before === undefined ? cotangent : add(before, cotangent));
    };
    const [da, db] = goBack(done, [outputs[0]!, outputs[1]!], [dp, dq], sources, accumulate);
    accumulate(a.value, da);
    accumulate(b.value, db);
    return sources.map((source) => found.get(source) ?? null);
  });
  return [new Tensor(outputs[0]!), new Tensor(outputs[1]!)];
}

/**
 * From the last pair and its cotangents to the cotangents of the first pair. Hands the cotangents of
 * `sources` to `accumulate`, step by step.
 */
function goBack(
  done: readonly DoneStep[],
  last: readonly [Value, Value],
  cotangents: readonly [Value, Value],
  sources: readonly Value[],
  accumulate: (source: Value, cotangent: Value) => void,
): [Value, Value] {
  let [p, q] = last;
  let [dp, dq] = cotangents;
  // A step begins when everything of the one before it is computed: else a plan might repeat all
  // steps first and hold what they give.
  let earlier: readonly Value[] = [dp, dq];
  for (const { step, draws } of done.toReversed()) {
    const input = variable(after(p, ...earlier));
    const output = withGradient(true, () =>
      replayDraws(draws, () => step(new Tensor(input)).value),
    );
    const wanted = new Set([input, ...sources]);
    const found = gradients({
      outputs: [output],
      seeds: [dq],
      wanted,
      boundary: new Set([...wanted].map((value) => value.node)),
    });
    const own = found.get(input);
    for (const [source, cotangent] of found) if (source !== input) accumulate(source, cotangent);
    [p, q] = [subtract(q, output), p];
    [dp, dq] = [dq, own === undefined ? dp : add(dp, own)];
    earlier = [...found.values()];
  }
  return [dp, dq];
}

function checkShapes(first: Tensor, second: Tensor, result: Tensor): void {
  const shapes = [first, second, result].map(({ shape }) => shape);
  check(
    shapes.every((shape) => sameShape(shape, first.shape)),
    "shape",
    () =>
      `reversible: both tensors and what a step gives must have one shape, got ${shapes.map(formatShape).join(", ")}. Correct the step.`,
  );
}
