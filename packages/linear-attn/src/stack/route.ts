/** Which layer of a stack gets what. */

import { check } from "@x/tensor/checks";
import type { AttentionState } from "@x/tensor/nn";
import type { Layer, LayerCall, LayerStateOptions } from "./layer.js";
import { joinStates, partOf } from "./state.js";

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

/** @throws XError `argument` if a route is not as long as the stack is deep */
export function checkRoutes(owner: string, argsRoute: ArgsRoute, depth: number): void {
  for (const [name, routes] of Object.entries(argsRoute)) {
    check(
      routes.length === depth,
      "argument",
      () =>
        `${owner}: the route of ${name} must say something for each of ${depth} pairs, got ${routes.length}. Correct it.`,
    );
  }
}

/** The call that each layer gets, with its own part of the state. */
export function routeCalls(
  argsRoute: ArgsRoute,
  call: LayerCall,
  depth: number,
): (readonly [f: LayerCall, g: LayerCall])[] {
  const routes = Object.entries(argsRoute) as [keyof ArgsRoute, readonly Route[]][];
  const { state = null } = call;
  const callOf = (pair: number, place: 0 | 1): LayerCall => ({
    ...Object.fromEntries(
      routes.flatMap(([name, route]) =>
        route[pair]![place] && call[name] ? [[name, call[name]]] : [],
      ),
    ),
    ...(state !== null &&
      !readsContext(argsRoute, pair, place) && { state: partOf(state, stateName(pair, place)) }),
  });
  return Array.from({ length: depth }, (_, pair) => [callOf(pair, 0), callOf(pair, 1)]);
}

/** The states of all layers before the first token. Layers that read a context remember nothing. */
export function initStates(
  pairs: readonly LayerPair[],
  argsRoute: ArgsRoute,
  options: LayerStateOptions,
): AttentionState {
  return joinStates(
    pairs.flatMap((layers, pair) =>
      layers.map((layer, place) => {
        const isStateless = readsContext(argsRoute, pair, place);
        const state = isStateless ? {} : (layer.initState?.(options) ?? {});
        return [stateName(pair, place), state] as const;
      }),
    ),
  );
}

/** Whether a layer reads a context: it sees all of it every time, and remembers nothing. */
function readsContext(argsRoute: ArgsRoute, pair: number, place: number): boolean {
  return argsRoute.context?.[pair]?.[place] === true;
}

function stateName(pair: number, place: number): string {
  return `${pair}.${place}`;
}
