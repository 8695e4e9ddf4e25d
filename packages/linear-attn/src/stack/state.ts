/** States that are made of the states of parts. */

import type { AttentionState } from "@x/tensor/nn";

/** The tensors of all parts in one object, each with the name of its part before its own. */
export function joinStates(
  parts: Iterable<readonly [name: string, state: AttentionState]>,
): AttentionState {
  const joined: Record<string, AttentionState[string]> = {};
  for (const [name, state] of parts) {
    for (const [own, tensor] of Object.entries(state)) joined[`${name}.${own}`] = tensor;
  }
  return joined;
}

/** The tensors of one part, with their own names. */
export function partOf(state: AttentionState, name: string): AttentionState {
  const prefix = `${name}.`;
  return Object.fromEntries(
    Object.entries(state)
      .filter(([full]) => full.startsWith(prefix))
      .map(([full, tensor]) => [full.slice(prefix.length), tensor]),
  );
}
