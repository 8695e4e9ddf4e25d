/** `pnpm bench features`: how well random features estimate the kernel of softmax. */

import Table from "cli-table3";
import { manualSeed, randn, stack, type Tensor } from "@x/tensor";
import { drawFeatures, featureKinds, type FeatureKind } from "@x/srf";
import { writeFile } from "node:fs/promises";

/** What is measured. */
export interface FeaturesOptions {
  /** Sizes of vectors, each estimated by as many features. */
  readonly dimensions: readonly number[];
  /** Lengths of the two vectors. */
  readonly norms: readonly number[];
  /** How many matrices are drawn for each figure. */
  readonly draws: number;
  readonly json?: string;
}

/** How one kind of features did. */
export interface FeatureError {
  readonly dimension: number;
  readonly norm: number;
  readonly kind: FeatureKind;
  /** The mean error of the estimate. */
  readonly bias: number;
  /** The standard error of that mean. */
  readonly standardError: number;
  readonly meanSquare: number;
}

/** Pairs of vectors for each matrix. */
const pairs = 8;

/** How far Σ_f φ_f(x) φ_f(y) / F is from exp(x·y), for vectors x and y of the given length. */
export async function measureFeatures(
  kind: FeatureKind,
  dimension: number,
  norm: number,
  draws: number,
): Promise<FeatureError> {
  manualSeed(1);
  const [means, squares]: [number[], number[]] = [[], []];
  for (let i = 0; i < draws; i++) {
    const matrix = drawFeatures(kind, { rows: dimension, features: dimension });
    const [x, y] = [vectors(dimension, norm), vectors(dimension, norm)];
    const features = (z: Tensor): Tensor =>
      z
        .matmul(matrix.t())
        .sub(norm ** 2 / 2)
        .exp();
    const estimates = features(x).mul(features(y)).mean(-1);
    const errors = estimates.sub(x.mul(y).sum(-1).exp());
    const [mean, square] = await stack([errors.mean(), errors.square().mean()], 0).data();
    means.push(mean!);
    squares.push(square!);
  }
  const bias = average(means);
  const variance = average(means.map((mean) => (mean - bias) ** 2));
  const standardError = Math.sqrt(variance / (draws - 1));
  return { dimension, norm, kind, bias, standardError, meanSquare: average(squares) };
}

function vectors(dimension: number, norm: number): Tensor {
  const directions = randn([pairs, dimension]);
  return directions.mul(norm).div(directions.square().sum(-1, { keepdim: true }).sqrt());
}

const average = (numbers: readonly number[]): number =>
  numbers.reduce((sum, x) => sum + x, 0) / numbers.length;

/** Prints a table of errors, with the mean square of each kind as a share of that of orthogonal features. */
export async function benchFeatures(
  { dimensions, norms, draws, json }: FeaturesOptions,
  print: (line: string) => void,
): Promise<void> {
  const table = new Table({
    head: ["d", "norm", "features", "mean error", "standard error", "mean square", "of orthogonal"],
    style: { head: [], border: [] },
  });
  const all: FeatureError[] = [];
  for (const dimension of dimensions) {
    for (const norm of norms) {
      const results: FeatureError[] = [];
      for (const kind of featureKinds) {
        results.push(await measureFeatures(kind, dimension, norm, draws));
      }
      const orthogonal = results.find(({ kind }) => kind === "orthogonal")!;
      for (const { kind, bias, standardError, meanSquare } of results) {
        const share = meanSquare / orthogonal.meanSquare;
        table.push([
          dimension,
          norm,
          kind,
          bias.toExponential(1),
          standardError.toExponential(1),
          meanSquare.toExponential(2),
          share.toFixed(3),
        ]);
      }
      all.push(...results);
    }
  }
  print(
    `Errors of Σ φ(x) φ(y) / d against exp(x·y), with d features, ${draws} matrices and ${pairs} pairs of random directions for each`,
  );
  print(table.toString());
  if (json !== undefined) {
    await writeFile(json, `${JSON.stringify(all, null, 2)}\n`);
    print(`Written to ${json}.`);
  }
}
