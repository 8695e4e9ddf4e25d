/** Every gradient in the vocabulary against central differences in float64. */

import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { setDevice } from "../src/device/current.js";
import { topologicalOrder } from "../src/graph/graph.js";
import { madeOps, type Op } from "../src/graph/node.js";
import { reference } from "../src/reference/device.js";
import { Tensor } from "../src/tensor/tensor.js";
import { gradientFunction } from "../src/testing/gradients.js";
import { checkGradients, type Differentiable } from "../src/testing/index.js";
import type { GradientCase } from "./gradients/case.js";
import { elementwiseCases } from "./gradients/elementwise.js";
import { attentionCases, layerCases, orderedCases } from "./gradients/primitives.js";
import {
  indexingCases,
  movementCases,
  productCases,
  reductionCases,
} from "./gradients/structure.js";

const cases: readonly GradientCase[] = [
  ...elementwiseCases,
  ...movementCases,
  ...reductionCases,
  ...indexingCases,
  ...productCases,
  ...orderedCases,
  ...layerCases,
  ...attentionCases,
];

// Inputs live there already; what the functions make themselves must live there too.
setDevice(reference());

/** Operations that stood between an input and a result of some case. */
const covered = new Set<Op>();

function noting(f: Differentiable): Differentiable {
  return (...inputs) => {
    const results = f(...inputs);
    const values = (results instanceof Tensor ? [results] : results).map(({ value }) => value);
    for (const node of topologicalOrder(values)) {
      if (node.outputs.some((output) => output.tracked)) covered.add(node.op);
    }
    return results;
  };
}

test.each(cases)("$name", async ({ f, inputs }) => {
  const report = await checkGradients(noting(f), inputs);
  expect(report.compared).toBeGreaterThan(0);
});

test.each(cases)("second order: $name", async (one) => {
  const gradient = noting(gradientFunction(one.f, 1));
  await checkGradients(gradient, one.inputs, { samples: 12, relative: 1e-5 });
});

test("every operation with a gradient is covered", async () => {
  const folder = new URL("../src/ops/", import.meta.url);
  for (const file of readdirSync(folder)) {
    if (!file.endsWith(".test.ts")) await import(new URL(file, folder).href);
  }
  const missing = madeOps().filter((op) => op.differentiable && !covered.has(op));
  expect(missing.map((op) => op.name)).toEqual([]);
});
