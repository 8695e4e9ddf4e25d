/** Rules for what comes once in each layer. */

import type { Rule } from "../weights/rule.js";
import type { Naming } from "./family.js";

/** Rules for one layer: stored names and names in the model, both within the layer. */
export type LayerTable = readonly (readonly [stored: string, own: string])[];

/** Rules that rename the weight, and the bias where there is one. */
export function renamed(
  name: Naming,
  table: LayerTable,
  suffixes: readonly string[],
  settings: Pick<Rule, "isTransposed"> = {},
): Rule[] {
  return table.flatMap(([stored, own]) =>
    suffixes.map((suffix) => ({
      stored: [name(`${stored}.${suffix}`)],
      own: [`${own}.${suffix}`],
      ...settings,
    })),
  );
}

/** The same table for every layer. */
export function everyLayer(
  count: number,
  stored: (layer: number) => string,
  table: LayerTable,
): LayerTable {
  return Array.from({ length: count }, (_, layer) =>
    table.map(
      ([from, to]) => [`${stored(layer)}.${from}`, `encoder.layers.${layer}.${to}`] as const,
    ),
  ).flat();
}
