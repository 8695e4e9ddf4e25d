/** What feature attention kernels are asked, and what they keep about every query and key. */

import type { Operand } from "@x/tensor/device";
import type { LoweringContext } from "../../native.js";
import type { Sizes } from "../linear-attention/steps.js";
import { layOut } from "./numbers.js";

/** A feature map. */
export interface FeatureMap {
  /** P, [features, d]; `null`: features are made of the numbers of queries and keys themselves. */
  readonly projection: Operand | null;
  /** What products with the projection are multiplied by. */
  readonly scale: number;
  /** What is added to the features of queries, and to those of keys. */
  readonly epsilon: number;
  /** How many there are. */
  readonly features: number;
}

/** Queries, keys, values, and what is common to all launches. */
export interface Problem {
  readonly context: LoweringContext;
  readonly sizes: Sizes;
  readonly map: FeatureMap;
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
  /** Which keys take part, bool [b, m]; `null`: all. */
  readonly keyMask: Operand | null;
  readonly facts: Facts;
}

/**
 * What is known about rows.
 *
 * - `running` [b, hk, m + 1]: the largest exponent of the keys before each key, and of all
 * - `keyOffsets` [b, hk, m]: what is taken from a key's products before they become exponents;
 *   `hugeOffset` where the key takes no part
 * - `queryOffsets` [b, h, n]: the same of queries
 * - `shares` [b, h, n]: ε Σ features, the weight of a key whose features are all ε
 * - `inverses` [b, h, n], backward: 1 / Σ weights
 * - `corrections` [b, h, n], backward: − y · dy / Σ weights
 */
export type Facts = Readonly<
  Record<"running" | "keyOffsets" | "queryOffsets" | "shares" | "inverses" | "corrections", Operand>
>;

/** Memory for what is known about rows. */
export function makeFacts(
  { batch, keyHeads, group, queries, keys }: Sizes,
  isBackward: boolean,
  context: LoweringContext,
): Facts {
  const perQuery = [batch, keyHeads * group, queries];
  const backward = isBackward ? perQuery : [0];
  return layOut(
    {
      running: [batch, keyHeads, keys + 1],
      keyOffsets: [batch, keyHeads, keys],
      queryOffsets: perQuery,
      shares: perQuery,
      inverses: backward,
      corrections: backward,
    },
    context,
  );
}

/** The offset of a key that takes no part; others are below `hugeOffset` / 2. */
export const hugeOffset = 1e38;

/** The largest exponent of no keys. */
export const lowestMaximum = -3.4028234663852886e38;
