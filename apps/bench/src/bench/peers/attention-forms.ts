/** Ways to compute attention, by name: exact, every mechanism, and the algorithms of the originals. */

import { simplexRandomMatrix } from "@x/srf";
import {
  cumulativeLinearAttention,
  manualSeed,
  noGrad,
  scaledDotProductAttention,
} from "@x/tensor";
import { mechanisms } from "../../mechanisms/table.js";
import type { AttentionTask } from "./peer.js";
import {
  linearOriginal,
  srfOriginal,
  thinformerOriginal,
  trimOriginal,
  type Attend,
} from "./original-forms.js";

/** How a task's attention is computed. */
export function attendBy({ kind, length, dim, isFull = false }: AttentionTask): Attend {
  switch (kind) {
    case "exact":
      return (q, k, v) => scaledDotProductAttention(q, k, v, { isCausal: !isFull });
    case "trim":
      // With the scale of the original, which the algorithm it is compared with has too.
      return (q, k, v) =>
        cumulativeLinearAttention(q, k, v, { causal: !isFull, scale: dim ** -0.5 }).output;
    case "trim original":
      return trimOriginal;
    case "linear original":
      return linearOriginal;
    case "srf original":
      manualSeed(1);
      return srfOriginal(noGrad(() => simplexRandomMatrix({ rows: dim, features: dim })));
    case "thinformer original":
      return thinformerOriginal;
  }
  const entry = mechanisms.find(({ name }) => name === kind);
  if (entry === undefined) throw new Error(`there is no attention "${kind}"`);
  manualSeed(1);
  const mechanism = noGrad(() => entry.make({ headDim: dim, length }));
  return (q, k, v) => mechanism.forward(q, k, v, { isCausal: !isFull });
}
