/** The table of all cases. A new one is an entry in the file of its family. */

import type { SelfTestCase } from "../case.js";
import { attentionCases } from "./attention.js";
import { elementwiseCases } from "./elementwise.js";
import { featureAttentionCases } from "./feature-attention.js";
import { indexingCases } from "./indexing.js";
import { halvingCases } from "./kernel-halving.js";
import { linearAttentionCases } from "./linear-attention.js";
import { orderedCases } from "./ordered.js";
import { productCases } from "./products.js";
import { reductionCases } from "./reductions.js";
import { rowCases } from "./rows.js";
import { trainingCases } from "./training.js";

/** Every case of the self-test. */
export const selfTestCases: readonly SelfTestCase[] = [
  ...elementwiseCases,
  ...reductionCases,
  ...productCases,
  ...rowCases,
  ...attentionCases,
  ...linearAttentionCases,
  ...halvingCases,
  ...featureAttentionCases,
  ...orderedCases,
  ...indexingCases,
  ...trainingCases,
];
