/** `pnpm bench features`: how well random features estimate the kernel of softmax. */

import Table from "cli-table3";
import {
  manualSeed,
  noGrad,
  randn,
  realize,
  scaledDotProductAttention,
  stack,
  type Tensor,
} from "@x/tensor";
import { drawFeatures, FastAttention, featureKinds, type FeatureKind } from "@x/srf";
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

/** How far attention by random features is from exact attention. */
export interface AttentionError {
  /** The standard deviation of the scores q·k / √d. */
  readonly deviation: number;
  /** How many random features there are. */
  readonly features: number;
  /** Root mean square error by the root mean square of the exact result, of each kind. */
  readonly errors: Readonly<Record<FeatureKind, number>>;
  /** The same error if all keys had the same weight. */
  readonly equalWeights: number;
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

/** Sizes of the attention that is measured. */
const attentionShape = [1, 4, 256, 64] as const;
/** How many matrices its errors are averaged over. */
const attentionDraws = 4;

/** The errors of causal attention on normally distributed queries, keys and values. */
export async function measureAttention(
  deviation: number,
  features: number,
): Promise<AttentionError> {
  manualSeed(1);
  const [q, k, v] = [Math.sqrt(deviation), Math.sqrt(deviation), 1].map((size) =>
    randn(attentionShape).mul(size),
  ) as [Tensor, Tensor, Tensor];
  await realize(q, k, v);
  const exactly = (query: Tensor): Tensor =>
    scaledDotProductAttention(query, k, v, { isCausal: true });
  const exact = await exactly(q).realize();
  const errorOf = (y: Tensor): Promise<number> =>
    y.sub(exact).square().mean().div(exact.square().mean()).sqrt().item();
  const errors = { simplex: 0, orthogonal: 0, independent: 0 };
  for (const kind of featureKinds) {
    for (let i = 0; i < attentionDraws; i++) {
      const attention = new FastAttention({
        headDim: attentionShape[3],
        nbFeatures: features,
        features: kind,
        causal: true,
      });
      errors[kind] += (await errorOf(noGrad(() => attention.forward(q, k, v)))) / attentionDraws;
    }
  }
  const equalWeights = await errorOf(exactly(q.mul(0)));
  return { deviation, features, errors, equalWeights };
}

function tableOf(head: readonly string[]): Table.Table {
  return new Table({ head: [...head], style: { head: [], border: [], compact: true } });
}

async function benchKernel(
  { dimensions, norms, draws }: FeaturesOptions,
  print: (line: string) => void,
): Promise<FeatureError[]> {
  const table = tableOf([
    "d",
    "norm",
    "features",
    "mean error",
    "standard error",
    "mean square",
    "of orthogonal",
  ]);
  const all: FeatureError[] = [];
  for (const dimension of dimensions) {
    for (const norm of norms) {
      const results: FeatureError[] = [];
      for (const kind of featureKinds) {
        results.push(await measureFeatures(kind, dimension, norm, draws));
      }
      const orthogonal = results.find(({ kind }) => kind === "orthogonal")!;
      for (const { kind, bias, standardError, meanSquare } of results) {
        table.push([
          dimension,
          norm,
          kind,
          bias.toExponential(1),
          standardError.toExponential(1),
          meanSquare.toExponential(2),
          (meanSquare / orthogonal.meanSquare).toFixed(3),
        ]);
      }
      all.push(...results);
    }
  }
  print(
    `Errors of Σ φ(x) φ(y) / d against exp(x·y), with d features: ${draws} matrices, ${pairs} pairs of random directions for each`,
  );
  print(table.toString());
  return all;
}

async function benchAttention(print: (line: string) => void): Promise<AttentionError[]> {
  const table = tableOf(["deviation of scores", "features", ...featureKinds, "equal weights"]);
  const all: AttentionError[] = [];
  for (const deviation of [0.0625, 0.25, 1]) {
    for (const features of [64, 256, 1024]) {
      const result = await measureAttention(deviation, features);
      const errors = featureKinds.map((kind) => result.errors[kind].toFixed(3));
      table.push([deviation, features, ...errors, result.equalWeights.toFixed(3)]);
      all.push(result);
    }
  }
  const [, heads, length, size] = attentionShape;
  print(
    `Relative errors of causal attention, ${heads} heads of ${length} × ${size} normally distributed numbers, and the error of equal weights`,
  );
  print(table.toString());
  return all;
}

/** Prints tables of errors: of the kernel, and of attention. */
export async function benchFeatures(
  options: FeaturesOptions,
  print: (line: string) => void,
): Promise<void> {
  const kernel = await benchKernel(options, print);
  const attention = await benchAttention(print);
  const { json } = options;
  if (json !== undefined) {
    await writeFile(json, `${JSON.stringify({ kernel, attention }, null, 2)}\n`);
    print(`Written to ${json}.`);
  }
}
