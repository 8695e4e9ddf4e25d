/** From the options of the transformer to what is built. */

import { checkNumbers, probability, wholeFrom } from "../engine.js";
import { checkArgument, checkCounts, checkInstance, exactly } from "../checks.js";
import { headSize } from "../sequence.js";
import { checkCompat } from "../compatibility.js";
import type { LinearAttentionTransformerOptions } from "./options.js";
import { LinformerContextSettings, LinformerSettings } from "./settings.js";

/** The options with every default in its place, and numbers of local heads layer by layer. */
export interface TransformerPlan extends Required<
  Omit<LinearAttentionTransformerOptions, "dimHead" | "nLocalAttnHeads" | "pkmLayers">
> {
  /** Size of a head. */
  readonly dimHead: number;
  /** How many heads of each layer are local. */
  readonly nLocalAttnHeads: readonly number[];
  /** Which layers, counted from 1, have a product-key memory for a feed-forward part. */
  readonly pkmLayers: readonly number[];
}

/**
 * The options with every default in its place.
 *
 * @throws XError `argument` if one is out of range or they contradict each other
 */
export function planTransformer(
  owner: string,
  options: LinearAttentionTransformerOptions,
): TransformerPlan {
  // Untyped code may pass undefined, for which the default holds too.
  const given = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as LinearAttentionTransformerOptions;
  const plan = {
    heads: 8,
    causal: false,
    ffChunks: 1,
    ffGlu: false,
    ffDropout: 0,
    attnLayerDropout: 0,
    attnDropout: 0,
    reversible: false,
    blindspotSize: 1,
    localAttnWindowSize: 128,
    receivesContext: false,
    attendAxially: false,
    pkmNumKeys: 128,
    linformerSettings: null,
    contextLinformerSettings: null,
    shiftTokens: false,
    oneKvHead: false,
    ...given,
    compat: checkCompat(owner, options.compat),
    pkmLayers: [options.pkmLayers ?? []].flat(),
  };
  const { dim, depth, maxSeqLen, heads, causal, pkmLayers } = plan;
  const { blindspotSize, localAttnWindowSize, ffChunks, pkmNumKeys } = plan;
  const { ffDropout, attnLayerDropout, attnDropout } = plan;
  const { linformerSettings, contextLinformerSettings: contextSettings } = plan;
  const sizes = { dim, depth, maxSeqLen, heads, ffChunks, pkmNumKeys };
  checkCounts(owner, { ...sizes, blindspotSize, localAttnWindowSize });
  checkNumbers(owner, probability, { ffDropout, attnLayerDropout, attnDropout });
  const dimHead = headSize(owner, dim, heads, options.dimHead);
  const local = options.nLocalAttnHeads ?? 0;
  const nLocalAttnHeads = typeof local === "number" ? new Array<number>(depth).fill(local) : local;
  checkNumbers(owner, exactly(depth), { "nLocalAttnHeads.length": nLocalAttnHeads.length });
  checkNumbers(owner, wholeFrom(0, heads), { nLocalAttnHeads: [...nLocalAttnHeads] });
  checkNumbers(owner, wholeFrom(1, depth), { pkmLayers });
  if (linformerSettings !== null) {
    checkInstance(owner, "linformerSettings", linformerSettings, { LinformerSettings });
  }
  if (contextSettings !== null) {
    checkInstance(owner, "contextLinformerSettings", contextSettings, { LinformerContextSettings });
  }
  checkArgument(
    owner,
    !causal || linformerSettings === null,
    () => `Linformer is not causal, got linformerSettings with causal. Leave one of them out.`,
  );
  return { ...plan, dimHead, nLocalAttnHeads };
}
