/** What the transformer is made of: which layers in which order, and what each of them gets. */

import { SelfAttention, type SelfAttentionOptions } from "../attention/self-attention.js";
import { FoldAxially } from "../axial/fold-axially.js";
import { Chunk } from "../feedforward/chunk.js";
import { FeedForward } from "../feedforward/feed-forward.js";
import { LinformerSelfAttention } from "../linformer/linformer-self-attention.js";
import { PKM } from "../memory/pkm.js";
import { PreShiftTokens } from "../shift/pre-shift-tokens.js";
import type { Layer } from "../stack/layer.js";
import { PreNorm } from "../stack/pre-norm.js";
import type { ArgsRoute, LayerPair, Route } from "../stack/route.js";
import type { TransformerPlan } from "./plan.js";
import type { LinformerContextSettings, LinformerSettings } from "./settings.js";

/** Pairs of layers, and which of them get what. */
export interface PlannedLayers {
  readonly pairs: readonly LayerPair[];
  readonly argsRoute: ArgsRoute;
}

/** Arguments that one kind of pair gets: the main one, that of axial attention, that of a context. */
type OwnArgument = "posEmb" | "axialPosEmb" | "context";

/** Makes all layers. */
export function makeLayers(plan: TransformerPlan): PlannedLayers {
  const pairs: LayerPair[] = [];
  const inputMask: Route[] = [];
  // What only one kind of pair gets tells the kinds apart.
  const own = { posEmb: [], axialPosEmb: [], context: [] } as Record<OwnArgument, Route[]>;
  const add = (argument: OwnArgument, [f, g]: LayerPair): void => {
    pairs.push([new PreNorm(plan.dim, f), new PreNorm(plan.dim, g)]);
    for (const [name, routes] of Object.entries(own)) routes.push([name === argument, false]);
    // Where tokens are shifted, what follows the attention has to know the padding too.
    const shiftsPadding = plan.shiftTokens && plan.compat === null;
    inputMask.push([true, shiftsPadding && argument === "posEmb"]);
  };
  for (let layer = 0; layer < plan.depth; layer++) {
    add("posEmb", mainPair(plan, layer));
    if (plan.attendAxially) add("axialPosEmb", axialPair(plan));
    if (plan.receivesContext) add("context", contextPair(plan));
  }
  return { pairs, argsRoute: { ...own, inputMask, contextMask: own.context } };
}

/** Self-attention, and what works on each position after it. */
function mainPair(plan: TransformerPlan, layer: number): LayerPair {
  const { dim, compat, linformerSettings } = plan;
  const nLocalAttnHeads = plan.nLocalAttnHeads[layer]!;
  const own = attention(plan, linformerSettings, { nLocalAttnHeads });
  // The original leaves these options out here.
  const numKeys = compat === null ? plan.pkmNumKeys : 128;
  const parallel = plan.pkmLayers.includes(layer + 1)
    ? new PKM(dim, { numKeys, topk: Math.min(numKeys, 32) })
    : feedForward(plan, compat === null);
  if (!plan.shiftTokens) return [own, parallel];
  const shifts = plan.causal ? [1, 0] : [1, 0, -1];
  return [
    new PreShiftTokens(shifts, own, { compat }),
    new PreShiftTokens(shifts, parallel, { compat }),
  ];
}

/** Attention along every nth position. Its heads always have the size `dim / heads`. */
function axialPair(plan: TransformerPlan): LayerPair {
  const own = attention(plan, null, { dimHead: null, blindspotSize: 1 });
  return [new FoldAxially(plan.localAttnWindowSize, own), feedForward(plan, true)];
}

/** Attention to the context. */
function contextPair(plan: TransformerPlan): LayerPair {
  const own = { causal: false, receivesContext: true };
  return [attention(plan, plan.contextLinformerSettings, own), feedForward(plan, true)];
}

/** Linformer where there are settings for it, else self-attention with options of its own. */
function attention(
  plan: TransformerPlan,
  settings: LinformerSettings | LinformerContextSettings | null,
  own: SelfAttentionOptions,
): Layer {
  const { dim, heads, maxSeqLen, attnDropout, attnLayerDropout } = plan;
  if (settings !== null) {
    const options = { seqLen: maxSeqLen, ...plan, ...settings, dropout: attnDropout };
    return new LinformerSelfAttention(dim, options.seqLen, options);
  }
  const options = {
    ...plan,
    dropout: attnLayerDropout,
    nLocalAttnHeads: 0,
    receivesContext: false,
  };
  return new SelfAttention(dim, heads, { ...options, ...own });
}

/** A feed-forward part, with its options or, as the original does in places, without. */
function feedForward(plan: TransformerPlan, hasOptions: boolean): Layer {
  const options = hasOptions ? { glu: plan.ffGlu, dropout: plan.ffDropout } : {};
  return new Chunk(plan.ffChunks, new FeedForward(plan.dim, options), { alongDim: 1 });
}
