/** Checking gradients against central differences, in float64. */

import { gradients } from "../autograd/gradients.js";
import { withGradient } from "../graph/node.js";
import { full } from "../ops/movement.js";
import { Tensor } from "../tensor/tensor.js";
import { compareElements, ToleranceError } from "./compare.js";
import { randomNumbers } from "./random-numbers.js";
import { referenceData, referenceTensor } from "./reference-data.js";

/** A function of tensors to differentiate. It must give the same results every time. */
export type Differentiable = (...inputs: Tensor[]) => Tensor | readonly Tensor[];

/** Options of `checkGradients`. */
export interface GradientCheckOptions {
  /** 1 checks the gradient, 2 the gradient of the gradient. Default 1. */
  readonly order?: 1 | 2;
  /** Step of the differences, relative to elements larger than 1. Default 1e-5. */
  readonly step?: number;
  /** Tolerance relative to the largest element of a gradient. Default 1e-6. */
  readonly relative?: number;
  /** Absolute tolerance. Default 1e-7. */
  readonly absolute?: number;
  /** At most this many elements of each input are moved, drawn at random. Default 48. */
  readonly samples?: number;
  /** Seed of the weights and of the draw. Default 0. */
  readonly seed?: number;
}

/** What `checkGradients` found. */
export interface GradientReport {
  /** Derivatives compared. */
  readonly compared: number;
  /** The largest error in units of the tolerance; at most 1. */
  readonly worst: number;
}

interface Point {
  readonly elements: Float64Array;
  readonly tensor: Tensor;
}

/**
 * Compares the gradients of `f` with central differences of `f` on the reference device, where all
 * numbers are float64. The loss is the sum of all float32 results with random weights. Inputs of
 * other types are passed on as they are.
 *
 * Throws a `ToleranceError` that names the input and the element where the gradient is wrong.
 *
 * @example
 * ```ts
 * import { tensor } from "@x/tensor";
 * import { checkGradients } from "@x/tensor/testing";
 *
 * const report = await checkGradients((x, y) => x.mul(y).sin(), [tensor([1, 2]), tensor([3, 4])]);
 * console.log(report.compared); // → 4
 * ```
 */
export async function checkGradients(
  f: Differentiable,
  inputs: readonly Tensor[],
  options: GradientCheckOptions = {},
): Promise<GradientReport> {
  const { order = 1, step = 1e-5, relative = 1e-6, absolute = 1e-7 } = options;
  const { samples = 48, seed = 0 } = options;
  const points = await Promise.all(inputs.map(async (x) => pointOf(x)));
  const function_ = order === 1 ? f : gradientFunction(f, seed + 1);
  const analytic = await gradientsAt(function_, points, seed);

  let compared = 0;
  let worst = 0;
  const draw = randomNumbers(seed);
  for (const [i, gradient] of analytic.entries()) {
    if (gradient === null) continue;
    const chosen = choose(gradient.length, samples, draw);
    const numeric: number[] = [];
    for (const element of chosen) {
      numeric.push(await centralDifference(function_, points, i, element, step, seed));
    }
    const comparison = compareElements(
      chosen.map((element) => gradient[element]!),
      numeric,
      { relative, absolute, relativeTo: "largest" },
    );
    if (!comparison.isClose) {
      throw new ToleranceError(
        `checkGradients: the derivative with respect to element ${chosen[comparison.index]} of input ${i} must be ${comparison.expected}, got ${comparison.actual}. Correct the gradient rule, or keep the input away from kinks.`,
        comparison,
      );
    }
    compared += chosen.length;
    worst = Math.max(worst, comparison.worst);
  }
  return { compared, worst };
}

async function pointOf(tensor: Tensor): Promise<Point> {
  const elements = Float64Array.from(await tensor.data());
  return { elements, tensor };
}

function place({ elements, tensor }: Point): Tensor {
  const { shape, dtype } = tensor;
  return referenceTensor(elements, shape, dtype, dtype === "float32");
}

function resultsOf(f: Differentiable, inputs: Tensor[]): Tensor[] {
  const results = f(...inputs);
  const list = results instanceof Tensor ? [results] : [...results];
  return list.filter((result) => result.dtype === "float32");
}

/** The weights of the results in the loss. */
function weightsFor(results: readonly Tensor[], seed: number): Tensor[] {
  const draw = randomNumbers(seed + 0x5eed);
  return results.map(({ shape, size }) =>
    referenceTensor(
      Float64Array.from({ length: size }, () => 0.5 + draw()),
      shape,
    ),
  );
}

/** The gradients of the loss at `inputs` as tensors that can be differentiated again. */
function symbolicGradients(f: Differentiable, inputs: Tensor[], seed: number): Tensor[] {
  return withGradient(true, () => {
    const results = resultsOf(f, inputs).filter((result) => result.requiresGrad);
    const wanted = inputs.filter((input) => input.dtype === "float32").map(({ value }) => value);
    const found = gradients({
      outputs: results.map(({ value }) => value),
      seeds: weightsFor(results, seed).map(({ value }) => value),
      wanted: new Set(wanted),
    });
    return wanted.map((value) => new Tensor(found.get(value) ?? full(value.shape, 0, "float32")));
  });
}

/** The function that gives the gradients of `checkGradients`' loss, to be differentiated again. */
export function gradientFunction(f: Differentiable, seed: number): Differentiable {
  return (...inputs) => symbolicGradients(f, inputs, seed);
}

async function gradientsAt(
  f: Differentiable,
  points: readonly Point[],
  seed: number,
): Promise<(Float64Array | null)[]> {
  const inputs = points.map(place);
  const found = symbolicGradients(f, inputs, seed)[Symbol.iterator]();
  const results: (Float64Array | null)[] = [];
  for (const input of inputs) {
    const isFloat = input.dtype === "float32";
    results.push(isFloat ? await referenceData(found.next().value!) : null);
  }
  return results;
}

async function lossAt(f: Differentiable, points: readonly Point[], seed: number): Promise<number> {
  const results = resultsOf(f, points.map(place)).filter((result) => result.requiresGrad);
  const weights = weightsFor(results, seed);
  let loss = 0;
  for (const [i, result] of results.entries()) {
    const elements = await referenceData(result);
    const weight = await referenceData(weights[i]!);
    elements.forEach((element, j) => (loss += element * weight[j]!));
  }
  return loss;
}

async function centralDifference(
  f: Differentiable,
  points: readonly Point[],
  input: number,
  element: number,
  step: number,
  seed: number,
): Promise<number> {
  const size = step * Math.max(1, Math.abs(points[input]!.elements[element]!));
  const lossAtOffset = async (offset: number): Promise<number> => {
    const moved = points.map((point, i) => {
      if (i !== input) return point;
      const elements = point.elements.slice();
      elements[element]! += offset;
      return { ...point, elements };
    });
    return lossAt(f, moved, seed);
  };
  return ((await lossAtOffset(size)) - (await lossAtOffset(-size))) / (2 * size);
}

/** All elements, or `samples` of them in order. */
function choose(size: number, samples: number, draw: () => number): number[] {
  if (size <= samples) return Array.from({ length: size }, (_, i) => i);
  const chosen = new Set<number>();
  while (chosen.size < samples) chosen.add(Math.floor(draw() * size));
  return [...chosen].sort((a, b) => a - b);
}
