/** From the options of the transformer to what is built. */

import { check, checkNumbers, count, probability, wholeFrom } from "@x/tensor/checks";
import { isReference } from "../compatibility.js";
import type { TransformerPlan } from "./layers.js";
import type { LinearAttentionTransformerOptions } from "./options.js";
import { LinformerContextSettings, LinformerSettings } from "./settings.js";

/**
 * The options with every default in its place.
 *
 * @throws XError `argument` if one is out of range or they contradict each other
 */
export function planTransformer(
  owner: string,
  options: LinearAttentionTransformerOptions,
): TransformerPlan {
  const { dim, depth, maxSeqLen, heads = 8, causal = false } = options;
  const { blindspotSize = 1, localAttnWindowSize = 128, ffChunks = 1, pkmNumKeys = 128 } = options;
  const { ffDropout = 0, attnLayerDropout = 0, attnDropout = 0 } = options;
  const { linformerSettings = null, contextLinformerSettings = null } = options;
  checkNumbers(owner, count, { dim, depth, maxSeqLen, heads });
  checkNumbers(owner, count, { blindspotSize, localAttnWindowSize, ffChunks, pkmNumKeys });
  checkNumbers(owner, probability, { ffDropout, attnLayerDropout, attnDropout });
  const dimHead = options.dimHead ?? null;
  check(
    dimHead !== null || dim % heads === 0,
    "argument",
    () =>
      `${owner}: the number of heads must divide dim, got ${heads} heads for ${dim}. Choose a divisor or set dimHead.`,
  );
  const local = options.nLocalAttnHeads ?? 0;
  const nLocalAttnHeads = typeof local === "number" ? new Array<number>(depth).fill(local) : local;
  checkNumbers(owner, wholeFrom(0), { nLocalAttnHeads: [...nLocalAttnHeads] });
  check(
    nLocalAttnHeads.length === depth && nLocalAttnHeads.every((number) => number <= heads),
    "argument",
    () =>
      `${owner}: nLocalAttnHeads must be at most ${heads} in each of ${depth} layers, got ${nLocalAttnHeads.join(", ")}. Correct it.`,
  );
  const pkmLayers = [options.pkmLayers ?? []].flat();
  check(
    pkmLayers.every((layer) => Number.isInteger(layer) && layer >= 1 && layer <= depth),
    "argument",
    () =>
      `${owner}: pkmLayers must be numbers of layers, from 1 to ${depth}, got ${pkmLayers.join(", ")}. Correct them.`,
  );
  checkSettings(owner, "linformerSettings", linformerSettings, LinformerSettings);
  checkSettings(
    owner,
    "contextLinformerSettings",
    contextLinformerSettings,
    LinformerContextSettings,
  );
  check(
    !causal || linformerSettings === null,
    "argument",
    () =>
      `${owner}: Linformer is not causal, got linformerSettings with causal. Leave one of them out.`,
  );
  return {
    dim,
    depth,
    maxSeqLen,
    heads,
    dimHead: dimHead ?? dim / heads,
    causal,
    ffChunks,
    ffGlu: options.ffGlu ?? false,
    ffDropout,
    attnLayerDropout,
    attnDropout,
    reversible: options.reversible ?? false,
    blindspotSize,
    nLocalAttnHeads,
    localAttnWindowSize,
    receivesContext: options.receivesContext ?? false,
    attendAxially: options.attendAxially ?? false,
    pkmLayers,
    pkmNumKeys,
    linformerSettings,
    contextLinformerSettings,
    shiftTokens: options.shiftTokens ?? false,
    oneKvHead: options.oneKvHead ?? false,
    compat: isReference(owner, options.compat) ? "reference" : null,
  };
}

/** Checks settings that may come from untyped code. */
function checkSettings(
  owner: string,
  name: string,
  settings: unknown,
  kind: typeof LinformerSettings | typeof LinformerContextSettings,
): void {
  check(
    settings === null || settings instanceof kind,
    "argument",
    () => `${owner}: ${name} must be a ${kind.name}, got ${typeof settings}. Make one.`,
  );
}
