/** What feature attention kernels are asked, and what they keep about every query and key. */

import type { Operand } from "@x/tensor/device";
import type { LoweringContext } from "../../native.js";
import type { Sizes } from "../linear-attention/tiled-steps.js";
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

/** Queries, keys and values. */
export interface Attention {
  readonly context: LoweringContext;
  readonly sizes: Sizes;
  readonly map: FeatureMap;
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
  /** Which keys take part, bool [b, m]; `null`: all. */
  readonly keyMask: Operand | null;
}

/** What is common to all launches. */
export interface Problem extends Attention {
  /** Keys, or queries, of a chunk. */
  readonly chunk: number;
  readonly facts: Facts;
}

/**
 * What is known about rows, and small parts of states.
 *
 * - `running` [b, hk, m + 1]: the largest exponent of the keys before each key, and of all
 * - `keyOffsets` [b, hk, m]: what is taken from a key's products before they become exponents;
 *   `hugeOffset` where the key takes no part
 * - `queryOffsets` [b, h, n]: the same of queries
 * - `shares` [b, h, n]: ε Σ features, the weight of a key whose features are all ε
 * - `weights` [b, h, n], forward: Σ weights
 * - `inverses` [b, h, n], backward: 1 / Σ weights
 * - `corrections` [b, h, n], backward: − y · dy / Σ weights
 * - `columns`, `rows` and `corners` of states, [states, b, hk, …]
 */
export type Facts = Readonly<
  Record<
    | "running"
    | "keyOffsets"
    | "queryOffsets"
    | "shares"
    | "weights"
    | "inverses"
    | "corrections"
    | "columns"
    | "rows"
    | "corners",
    Operand
  >
>;

/** Memory for what is known about rows, and for so many states. */
export function makeFacts(
  { sizes, map, v, context }: Attention,
  isBackward: boolean,
  states: number,
): Facts {
  const { batch, keyHeads, group, queries, keys } = sizes;
  const perQuery = [batch, keyHeads * group, queries];
  const [forward, backward] = isBackward ? [[0], perQuery] : [perQuery, [0]];
  return layOut(
    {
      running: [batch, keyHeads, keys + 1],
      keyOffsets: [batch, keyHeads, keys],
      queryOffsets: perQuery,
      shares: perQuery,
      weights: forward,
      inverses: backward,
      corrections: backward,
      columns: [states, batch, keyHeads, map.features],
      rows: [states, batch, keyHeads, v.shape[3]!],
      corners: [states, batch, keyHeads, 1],
    },
    context,
  );
}

/** The offset of a key that takes no part; others are below `hugeOffset` / 2. */
export const hugeOffset = 1e38;

/** The largest exponent of no keys. */
export const lowestMaximum = -3.4028234663852886e38;
