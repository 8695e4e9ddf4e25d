/** Putting SRF attention into trained models. */

import { check } from "@x/tensor/checks";
import { MultiheadAttention, type Module } from "@x/tensor/nn";
import { RetrofittedAttention, type RetrofitOptions } from "./retrofitted-attention.js";

/**
 * SRF attention in place of the softmax attention of a trained module, with its projections: the
 * result has the same parameters, the tensors themselves, under the same names. Fine-tune it, with
 * other features in each step, then run it recurrently with a state of constant size.
 *
 * Takes a `MultiheadAttention`, or any module that has its projections as submodules with `forward`:
 * `qProj, kProj, vProj` and `outProj` or `oProj`; `toQ, toK, toV, toOut`; `query, key, value, output`;
 * or `wq, wk, wv, wo`. Heads of keys may be fewer than those of queries.
 *
 * @param attention trained, with scores `q·k / √headDim` unless `scoreScale` says otherwise
 * @throws XError `argument` if projections or the number of heads cannot be found, or the attention
 * has keys that are added to every sequence
 * @example
 * ```ts
 * const trained = new MultiheadAttention(16, 2, { batchFirst: true });
 * const attention = retrofit(trained, { nbFeatures: 32 });
 * console.log(attention.parameters()[0] === trained.inProjWeight); // → true
 *
 * attention.srf.redraw_(); // before each step of fine-tuning
 * const { output } = attention.forward(randn([4, 10, 16]), undefined, undefined, { isCausal: true });
 * console.log(output.shape); // → [ 4, 10, 16 ]
 *
 * const state = attention.eval().initState({ batch: 1 });
 * const token = randn([1, 1, 16]);
 * const next = attention.forward(token, token, token, { isCausal: true, state }).output;
 * await next.data();
 * console.log(await state.count.toArray()); // → [ [ 1, 1 ] ]
 * ```
 */
export function retrofit(attention: Module, options: RetrofitOptions = {}): RetrofittedAttention {
  return new RetrofittedAttention(attention, options);
}

/** Options of {@link retrofitModel}. */
export interface RetrofitModelOptions extends RetrofitOptions {
  /** Which modules are replaced, and how they are named. Default: all of `MultiheadAttention`. */
  readonly match?: (module: Module, name: string) => boolean;
}

/**
 * Puts SRF attention in place of every softmax attention in a trained model, which is changed. A
 * module that is used twice is replaced by one. Set the `state` of each to run a model recurrently
 * that knows no states.
 *
 * @returns what was put in, in the order of the model
 * @throws XError `argument` if nothing matches, or as {@link retrofit} does
 * @example
 * ```ts
 * const layer = new TransformerEncoderLayer({ dModel: 16, nHead: 2, batchFirst: true });
 * const model = new TransformerEncoder(layer, { numLayers: 2 }).eval();
 * const attentions = retrofitModel(model, { nbFeatures: 32 });
 * console.log(attentions.length); // → 2
 * const whole = model.forward(randn([1, 10, 16]), { isCausal: true });
 *
 * for (const attention of attentions) attention.state = attention.initState({ batch: 1 });
 * const next = model.forward(randn([1, 1, 16]), { isCausal: true });
 * console.log(whole.shape, next.shape); // → [ 1, 10, 16 ] [ 1, 1, 16 ]
 * ```
 */
export function retrofitModel(
  model: Module,
  options: RetrofitModelOptions = {},
): RetrofittedAttention[] {
  const { match = (module) => module instanceof MultiheadAttention, ...others } = options;
  const replaced = new Map<Module, RetrofittedAttention>();
  const found = model.namedModules().filter(([name, module]) => name !== "" && match(module, name));
  check(
    found.length > 0,
    "argument",
    () =>
      `retrofitModel: the model must contain an attention to replace, got none in ${model.constructor.name}. Pass one that matches to retrofit(), or set match.`,
  );
  for (const [, module] of found) replaced.set(module, retrofit(module, others));
  for (const module of model.modules()) replaceIn(module, replaced);
  return [...replaced.values()];
}

/** Replaces modules among the properties of an object, and in arrays there. */
function replaceIn(owner: object, replaced: ReadonlyMap<unknown, RetrofittedAttention>): void {
  for (const [property, value] of Object.entries(owner)) {
    const other = replaced.get(value);
    if (other) (owner as Record<string, unknown>)[property] = other;
    else if (Array.isArray(value)) replaceIn(value, replaced);
  }
}
