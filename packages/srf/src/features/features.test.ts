import { beforeAll, describe, expect, test } from "vitest";
import { manualSeed, ones, setDevice, tensor, wasm, type Tensor } from "@x/tensor";
import { Generator } from "@x/tensor/random";
import { expectClose, randomNumbers } from "@x/tensor/testing";
import { codeOf } from "../../test/code-of.js";
import { orthogonalMatrix, orthogonalMatrixChunkHadamard } from "./orthogonal.js";
import { drawFeatures, featureKinds, simplexRandomMatrix } from "./random-matrix.js";
import { computeSimplexDir, simplexDirections } from "./simplex.js";

beforeAll(() => {
  setDevice(wasm());
  manualSeed(1);
});

/** exp(w·x − |x|²/2) of each row w. */
function featuresOf(matrix: Float32Array, x: readonly number[]): number[] {
  const half = x.reduce((sum, c) => sum + c * c, 0) / 2;
  return Array.from({ length: matrix.length / x.length }, (_, i) => {
    let product = 0;
    for (const [j, c] of x.entries()) product += matrix[i * x.length + j]! * c;
    return Math.exp(product - half);
  });
}

/** A vector of the given length in a random direction. */
function vector(size: number, norm: number, draw: () => number): number[] {
  const x = Array.from({ length: size }, () => draw() + draw() + draw() - 1.5);
  const length = Math.sqrt(x.reduce((sum, c) => sum + c * c, 0));
  return x.map((c) => (c * norm) / length);
}

/**
 * Estimates of exp(x·y) by many draws of `rows` vectors; for their mean, the standard error of that
 * and their mean square error.
 */
async function estimate(
  kind: (typeof featureKinds)[number],
  { size, rows, norm, draws }: { size: number; rows: number; norm: number; draws: number },
): Promise<{ bias: number; standardError: number; meanSquare: number }> {
  const generator = new Generator(size + 1);
  const draw = randomNumbers(size);
  const [errors, squares] = [[] as number[], [] as number[]];
  for (let i = 0; i < draws; i++) {
    const matrix = await drawFeatures(kind, { rows, features: size, generator }).data();
    const [x, y] = [vector(size, norm, draw), vector(size, norm, draw)];
    const [a, b] = [featuresOf(matrix as Float32Array, x), featuresOf(matrix as Float32Array, y)];
    const mean = a.reduce((sum, c, j) => sum + c * b[j]!, 0) / rows;
    const exact = Math.exp(x.reduce((sum, c, j) => sum + c * y[j]!, 0));
    errors.push(mean - exact);
    squares.push((mean - exact) ** 2);
  }
  const bias = errors.reduce((sum, e) => sum + e, 0) / draws;
  const meanSquare = squares.reduce((sum, e) => sum + e, 0) / draws;
  return { bias, standardError: Math.sqrt(meanSquare / draws), meanSquare };
}

describe.each(featureKinds)("%s features", (kind) => {
  test.each([
    { size: 16, rows: 16, norm: 0.5 },
    { size: 16, rows: 16, norm: 1 },
    { size: 64, rows: 64, norm: 0.5 },
    { size: 64, rows: 64, norm: 1 },
    { size: 12, rows: 12, norm: 0.5 },
    { size: 12, rows: 30, norm: 1 },
    { size: 3, rows: 2, norm: 1 },
    { size: 2, rows: 2, norm: 1 },
    { size: 1, rows: 2, norm: 0.5 },
  ])("estimate exp(x·y) without bias: %o", async (setting) => {
    const { bias, standardError } = await estimate(kind, { ...setting, draws: 400 });
    expect(Math.abs(bias)).toBeLessThan(3 * standardError);
  });
});
