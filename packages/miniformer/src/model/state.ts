/** Names in what models remember. */

import type { AttentionState } from "@x/tensor/nn";

/** The states of layers as one: `layers.0.keys` … */
export function layerState(states: readonly AttentionState[]): AttentionState {
  const joined: Record<string, AttentionState[string]> = {};
  states.forEach((state, layer) => {
    for (const [name, tensor] of Object.entries(state)) joined[`layers.${layer}.${name}`] = tensor;
  });
  return joined;
}

/** The states of layers, each with its own names. */
export function groupByLayer(state: AttentionState): AttentionState[] {
  const parts: Record<string, AttentionState[string]>[] = [];
  for (const [name, tensor] of Object.entries(state)) {
    const found = /^layers\.(\d+)\.(.*)$/.exec(name);
    if (found !== null) (parts[Number(found[1])] ??= {})[found[2]!] = tensor;
  }
  return parts;
}
