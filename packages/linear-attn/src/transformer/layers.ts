/** What the transformer is made of: which layers in which order, and what each of them gets. */

import { Chunk } from "../feedforward/chunk.js";
import { FeedForward } from "../feedforward/feed-forward.js";
import { FoldAxially } from "../axial/fold-axially.js";
import { LinformerSelfAttention } from "../linformer/linformer-self-attention.js";
import { PKM } from "../memory/pkm.js";
import { SelfAttention, type SelfAttentionOptions } from "../attention/self-attention.js";
import { PreShiftTokens } from "../shift/pre-shift-tokens.js";
import type { Layer } from "../stack/layer.js";
import { PreNorm } from "../stack/pre-norm.js";
import type { ArgsRoute, LayerPair, Route } from "../stack/route.js";
import type { LinearAttentionTransformerOptions } from "./options.js";

/** The options with every default in its place, and the numbers of local heads layer by layer. */
export interface TransformerPlan extends Required<
  Omit<LinearAttentionTransformerOptions, "dimHead" | "nLocalAttnHeads" | "pkmLayers">
> {
  readonly dimHead: number;
  readonly nLocalAttnHeads: readonly number[];
  readonly pkmLayers: readonly number[];
}

/** Pairs of layers, and which of them get what. */
export interface PlannedLayers {
  readonly pairs: readonly LayerPair[];
  readonly argsRoute: ArgsRoute;
}

/** What a pair of layers is for. */
type Kind = "main" | "axial" | "context";

/** Makes all layers. */
export function makeLayers(plan: TransformerPlan): PlannedLayers {
  const kinds: readonly Kind[] = [
    "main",
    ...(plan.attendAxially ? (["axial"] as const) : []),
    ...(plan.receivesContext ? (["context"] as const) : []),
  ];
  const makers = { main: mainPair, axial: axialPair, context: contextPair };
  const layers = Array.from({ length: plan.depth }, (_, layer) =>
    kinds.map((kind) => ({ kind, pair: makers[kind](plan, layer) })),
  ).flat();
  const pairs = layers.map(({ pair: [f, g] }): LayerPair => [
    new PreNorm(plan.dim, f),
    new PreNorm(plan.dim, g),
  ]);
  const to = (...wanted: readonly Kind[]): Route[] =>
    layers.map(({ kind }) => [wanted.includes(kind), false]);
  // Where tokens are shifted, what follows the attention has to know the padding too.
  const shiftsPadding = plan.shiftTokens && plan.compat === null;
  const inputMask = layers.map(({ kind }): Route => [true, shiftsPadding && kind === "main"]);
  const argsRoute: ArgsRoute = {
    inputMask,
    posEmb: to("main"),
    ...(plan.attendAxially && { axialPosEmb: to("axial") }),
    ...(plan.receivesContext && { context: to("context"), contextMask: to("context") }),
  };
  return { pairs, argsRoute };
}

/** Self-attention, and what works on each position after it. */
function mainPair(plan: TransformerPlan, layer: number): LayerPair {
  const { dim, heads, compat } = plan;
  const attention =
    plan.linformerSettings === null
      ? new SelfAttention(dim, heads, {
          ...attentionOptions(plan),
          dimHead: plan.dimHead,
          causal: plan.causal,
          blindspotSize: plan.blindspotSize,
          nLocalAttnHeads: plan.nLocalAttnHeads[layer]!,
          localAttnWindowSize: plan.localAttnWindowSize,
        })
      : linformer(plan, plan.maxSeqLen, plan.linformerSettings.k);
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
  const { dim, heads, causal, localAttnWindowSize } = plan;
  const attention = new SelfAttention(dim, heads, { ...attentionOptions(plan), causal });
  return [new FoldAxially(localAttnWindowSize, attention), feedForward(plan, true)];
}

/** Attention to the context. */
function contextPair(plan: TransformerPlan): LayerPair {
  const { dim, heads, dimHead, contextLinformerSettings: settings } = plan;
  const attention =
    settings === null
      ? new SelfAttention(dim, heads, { ...attentionOptions(plan), dimHead, receivesContext: true })
      : linformer(plan, settings.seqLen, settings.k);
  return [attention, feedForward(plan, true)];
}

function attentionOptions(plan: TransformerPlan): SelfAttentionOptions {
  const { attnLayerDropout: dropout, attnDropout, oneKvHead, compat } = plan;
  return { dropout, attnDropout, oneKvHead, compat };
}

function linformer(plan: TransformerPlan, seqLen: number, k: number): LinformerSelfAttention {
  const { dim, heads, dimHead, attnDropout: dropout, oneKvHead, compat } = plan;
  return new LinformerSelfAttention(dim, seqLen, { k, heads, dimHead, dropout, oneKvHead, compat });
}

/** A feed-forward part, with its options or, as the original does in places, without. */
function feedForward(plan: TransformerPlan, hasOptions: boolean): Layer {
  const options = hasOptions ? { glu: plan.ffGlu, dropout: plan.ffDropout } : {};
  return new Chunk(plan.ffChunks, new FeedForward(plan.dim, options), { alongDim: 1 });
}
