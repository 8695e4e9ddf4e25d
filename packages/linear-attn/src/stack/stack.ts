/** What stacks of pairs of layers have in common. */

import type { Tensor } from "@x/tensor";
import type { AttentionState } from "@x/tensor/nn";
import { checkNumbers, Module } from "../engine.js";
import { exactly } from "../checks.js";
import { asPart, partOf } from "../state.js";
import type { Layer, LayerCall, LayerStateOptions } from "./layer.js";
import type { ArgsRoute, LayerPair, SequenceOptions } from "./route.js";

/** A stack that gives each layer what it is to get of a call, and its own part of the state. */
export abstract class LayerStack extends Module {
  /** Which layers get what. */
  readonly argsRoute: ArgsRoute;

  /** @throws XError `argument` if a route is not as long as the stack is deep */
  constructor(owner: string, depth: number, options: SequenceOptions) {
    super();
    this.argsRoute = options.argsRoute ?? {};
    for (const [name, routes] of Object.entries(this.argsRoute)) {
      checkNumbers(owner, exactly(depth), { [`argsRoute.${name}.length`]: routes.length });
    }
  }

  /** The layers, in the order in which they are applied. */
  protected abstract get pairs(): readonly LayerPair[];

  /** The state before the first token: that of layer f of pair 0 has names such as `0.0.…`. */
  initState(options: LayerStateOptions): AttentionState {
    const states = this.eachLayer((layer, name, gets) =>
      gets("context") ? {} : asPart(name, layer.initState?.(options) ?? {}),
    );
    return Object.assign({}, ...states) as AttentionState;
  }

  /** What the layers compute of their inputs, in order. */
  protected steps(call: LayerCall): ((x: Tensor) => Tensor)[] {
    const { state = null } = call;
    return this.eachLayer((layer, name, gets) => {
      const given = Object.entries(call).filter(([key, value]) => value && gets(key));
      const own = state && !gets("context") ? { state: partOf(state, name) } : {};
      const layerCall: LayerCall = { ...Object.fromEntries(given), ...own };
      return (x) => layer.forward(x, layerCall);
    });
  }

  /**
   * What `visit` gives for the layers in order, each with its place as a name, such as `0.1`, and with
   * which arguments it gets. Layers that read a context see all of it every time: they have no state.
   */
  private eachLayer<T>(
    visit: (layer: Layer, name: string, gets: (argument: string) => boolean) => T,
  ): T[] {
    return this.pairs.flatMap((layers, pair) =>
      layers.map((layer, place) =>
        visit(
          layer,
          `${pair}.${place}`,
          (argument) => this.argsRoute[argument as keyof ArgsRoute]?.[pair]?.[place] === true,
        ),
      ),
    );
  }
}
