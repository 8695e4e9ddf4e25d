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

/** Pairs of layers, and which of them get what. */
export interface PlannedLayers {
  readonly pairs: readonly LayerPair[];
  readonly argsRoute: ArgsRoute;
}

/** What a pair of layers is for. */
type Kind = "main" | "axial" | "context";

/** Makes all layers. */
export function makeLayers(plan: TransformerPlan): PlannedLayers {
  const makers: readonly (readonly [kind: Kind, isWanted: boolean, make: typeof mainPair])[] = [
    ["main", true, mainPair],
    ["axial", plan.attendAxially, axialPair],
    ["context", plan.receivesContext, contextPair],
  ];
  const wanted = makers.filter(([, isWanted]) => isWanted);
  const layers = Array.from({ length: plan.depth }, (_, layer) =>
    wanted.map(([kind, , make]) => ({ kind, pair: make(plan, layer) })),
  ).flat();
  const pairs = layers.map(({ pair: [f, g] }): LayerPair => [
    new PreNorm(plan.dim, f),
    new PreNorm(plan.dim, g),
  ]);
  const to = (target: Kind): Route[] => layers.map(({ kind }) => [kind === target, false]);
  // Where tokens are shifted, what follows the attention has to know the padding too.
  const shiftsPadding = plan.shiftTokens && plan.compat === null;
  const inputMask = layers.map(({ kind }): Route => [true, shiftsPadding && kind === "main"]);
  const context = to("context");
  return {
    pairs,
    argsRoute: {
      inputMask,
      posEmb: to("main"),
      axialPosEmb: to("axial"),
      context,
      contextMask: context,
    },
  };
}

/** Self-attention, and what works on each position after it. */
function mainPair(plan: TransformerPlan, layer: number): LayerPair {
  const { dim, compat, linformerSettings, maxSeqLen } = plan;
  const attention =
    linformerSettings === null
      ? selfAttention(plan, { nLocalAttnHeads: plan.nLocalAttnHeads[layer]! })
      : linformer(plan, maxSeqLen, linformerSettings.k);
  // The original leaves these options out here.
  const numKeys = compat === null ? plan.pkmNumKeys : 128;
  const parallel = plan.pkmLayers.includes(layer + 1)
    ? new PKM(dim, { numKeys, topk: Math.min(numKeys, 32) })
    : feedForward(plan, compat === null);
  if (!plan.shiftTokens) return [attention, parallel];
  const shifts = plan.causal ? [1, 0] : [1, 0, -1];
  return [
    new PreShiftTokens(shifts, attention, { compat }),
    new PreShiftTokens(shifts, parallel, { compat }),
  ];
}

/** Attention along every nth position. Its heads always have the size `dim / heads`. */
function axialPair(plan: TransformerPlan): LayerPair {
  const attention = selfAttention(plan, { dimHead: null, blindspotSize: 1 });
  return [new FoldAxially(plan.localAttnWindowSize, attention), feedForward(plan, true)];
}

/** Attention to the context. */
function contextPair(plan: TransformerPlan): LayerPair {
  const { contextLinformerSettings: settings } = plan;
  const attention =
    settings === null
      ? selfAttention(plan, { causal: false, receivesContext: true })
      : linformer(plan, settings.seqLen, settings.k);
  return [attention, feedForward(plan, true)];
}

/** Attention with the options that the plan has under the same names, and others of its own. */
function selfAttention(plan: TransformerPlan, own: SelfAttentionOptions): SelfAttention {
  return new SelfAttention(plan.dim, plan.heads, {
    ...plan,
    dropout: plan.attnLayerDropout,
    nLocalAttnHeads: 0,
    receivesContext: false,
    ...own,
  });
}

function linformer(plan: TransformerPlan, seqLen: number, k: number): LinformerSelfAttention {
  return new LinformerSelfAttention(plan.dim, seqLen, { ...plan, k, dropout: plan.attnDropout });
}

/** A feed-forward part, with its options or, as the original does in places, without. */
function feedForward(plan: TransformerPlan, hasOptions: boolean): Layer {
  const options = hasOptions ? { glu: plan.ffGlu, dropout: plan.ffDropout } : {};
  return new Chunk(plan.ffChunks, new FeedForward(plan.dim, options), { alongDim: 1 });
}
