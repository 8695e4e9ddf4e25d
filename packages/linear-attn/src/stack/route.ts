/** Which layer of a stack gets what. */

import type { Layer, LayerCall } from "./layer.js";

/** A pair of layers: attention, and what works on each position. */
export type LayerPair = readonly [f: Layer, g: Layer];

/** Whether each layer of a pair gets an argument. */
export type Route = readonly [f: boolean, g: boolean];

/** For each argument of a call, which layers of each pair get it; arguments without a route reach none. */
export type ArgsRoute = { readonly [name in Exclude<keyof LayerCall, "state">]?: readonly Route[] };

/** Options of {@link SequentialSequence} and {@link ReversibleSequence}. */
export interface SequenceOptions {
  /** Which layers get what. Default: nobody gets anything. */
  readonly argsRoute?: ArgsRoute;
}
