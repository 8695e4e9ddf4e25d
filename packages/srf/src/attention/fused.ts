/** SRF attention by the engine's kernel for it. */

import { featureAttention } from "@x/tensor";
import type { SrfProblem, SrfResult } from "./problem.js";

/**
 * `y_i = Σ_j w_ij v_j / Σ_j w_ij` in one pass: features are computed while queries and keys are read,
 * and never stored. Gradients do not go through the state.
 */
export function fusedAttention(problem: SrfProblem): SrfResult {
  const { query, key, value, projection, scale, epsilon, causal, keyMask, state } = problem;
  const result = featureAttention(query, key, value, {
    features: { projection, scale, epsilon },
    causal,
    ...(keyMask && { keyMask }),
    ...(state && { state }),
  });
  return { output: result.output, state: { ...result.state } };
}
