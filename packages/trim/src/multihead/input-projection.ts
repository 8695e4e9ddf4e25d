/** Queries, keys and values from what comes in. */

import { linear, type Tensor } from "@x/tensor";

/** Weights of the three projections: in one, or apart where sizes differ. */
export interface ProjectionWeights {
  /** Rows for queries, keys and values one after the other, or `null`. */
  readonly inProjWeight: Tensor | null;
  readonly qProjWeight: Tensor | null;
  readonly kProjWeight: Tensor | null;
  readonly vProjWeight: Tensor | null;
  /** Like the rows of `inProjWeight`. */
  readonly inProjBias: Tensor | null;
}

/** Rows of the weights for queries, keys and values. */
export type ProjectionSizes = readonly [query: number, key: number, value: number];

/**
 * Projects the last axes. Inputs that are the same tensor are projected by one product, where their
 * weights are in one.
 */
export function projectInputs(
  inputs: readonly [query: Tensor, key: Tensor, value: Tensor],
  weights: ProjectionWeights,
  sizes: ProjectionSizes,
): [Tensor, Tensor, Tensor] {
  const { inProjWeight, inProjBias } = weights;
  const starts = [0, sizes[0], sizes[0] + sizes[1]] as const;
  const rows = (from: Tensor, first: number, count: number): Tensor => {
    const length = sizes.slice(first, first + count).reduce((sum, size) => sum + size, 0);
    return length === from.shape[0] ? from : from.narrow(0, starts[first]!, length);
  };
  const [query, key, value] = inputs;
  if (inProjWeight === null) {
    const parts = [weights.qProjWeight!, weights.kProjWeight!, weights.vProjWeight!];
    return parts.map((weight, i) =>
      linear(inputs[i]!, weight, inProjBias && rows(inProjBias, i, 1)),
    ) as [Tensor, Tensor, Tensor];
  }
  const project = (x: Tensor, first: number, count: number): Tensor[] =>
    linear(x, rows(inProjWeight, first, count), inProjBias && rows(inProjBias, first, count)).split(
      sizes.slice(first, first + count),
      -1,
    );
  const parts =
    key !== value
      ? inputs.map((input, i) => project(input, i, 1)[0]!)
      : query === key
        ? project(query, 0, 3)
        : [...project(query, 0, 1), ...project(key, 1, 2)];
  return parts as [Tensor, Tensor, Tensor];
}
