/** Updates in place that happen with the computation that asks for them. */

import { customGradient } from "../tensor/custom-gradient.js";
import type { Tensor } from "../tensor/tensor.js";

/** A tensor, and the numbers that it is to get. */
export type Update = readonly [target: Tensor, source: Tensor];

/** The first tensor; in the graph it depends on the others too. Gradients flow through the first. */
const carry: (output: Tensor, ...targets: Tensor[]) => Tensor = customGradient(
  (output: Tensor, ..._targets: Tensor[]) => ({
    value: output,
    gradient: (cotangent) => cotangent,
  }),
);

/**
 * Makes the updates, and gives `output` back such that whatever computes it, or anything that
 * depends on it, writes the new numbers in the same plan, after all others have read the old ones.
 * Of several updates of one tensor the first counts.
 */
export function withUpdates(output: Tensor, updates: readonly Update[]): Tensor {
  const done = new Set<Tensor>();
  for (const [target, source] of updates) {
    if (done.has(target)) continue;
    target.assign(source);
    done.add(target);
  }
  return done.size === 0 ? output : carry(output, ...done);
}
