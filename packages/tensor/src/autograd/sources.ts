/** What a computation depends on. */

import type { Node, Value } from "../graph/node.js";

/** The tracked values recorded up to `start` that `results` were computed from after it. */
export function trackedSources(results: readonly Value[], start: number): readonly Value[] {
  const sources = new Set<Value>();
  const visited = new Set<Node>();
  const pending: Node[] = [];
  const visit = (value: Value): void => {
    if (!value.tracked) return;
    if (value.node.serial <= start) sources.add(value);
    else if (!visited.has(value.node)) {
      visited.add(value.node);
      pending.push(value.node);
    }
  };
  results.forEach(visit);
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    node.inputs.forEach(visit);
  }
  return [...sources];
}
