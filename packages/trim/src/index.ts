/**
 * Cumulative linear attention and its transformer encoder, with a decode state of constant size.
 *
 * @module
 */

export {
  cumulativeLinearAttn,
  type CumulativeLinearAttnOptions,
  type CumulativeLinearAttnResult,
} from "./attention/cumulative-linear-attn.js";
export type { Compatibility } from "./attention/compatibility.js";
export type { CumulativeMask } from "./attention/mask.js";
