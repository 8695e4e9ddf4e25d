import { beforeAll, describe, expect, test } from "vitest";
import { eye, ones, rand, setDevice, wasm, where, type Tensor } from "@x/tensor";
import { Generator } from "@x/tensor/random";
import { codeOf, expectClose, randomNumbers } from "@x/tensor/testing";
import { hadamardMatrix } from "./hadamard.js";
import { orthogonalMatrixChunkHadamard } from "./orthogonal.js";
import {
  drawFeatures,
  featureKinds,
  orthogonalRandomMatrix,
  simplexRandomMatrix,
} from "./random-matrix.js";
import { computeSimplexDir, simplexDirections } from "./simplex.js";

beforeAll(() => {
  setDevice(wasm());
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

describe.each(featureKinds)("%s features estimate", (kind) => {
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
  ])("exp(x·y) without bias: %o", async (setting) => {
    const { bias, standardError } = await estimate(kind, { ...setting, draws: 400 });
    expect(Math.abs(bias)).toBeLessThan(3 * standardError);
  });
});

test("the mean square error of simplex features is about 0.08 of that of orthogonal ones", async () => {
  const setting = { size: 64, rows: 64, norm: 0.5, draws: 400 };
  const simplex = await estimate("simplex", setting);
  const orthogonal = await estimate("orthogonal", setting);
  expect(simplex.meanSquare / orthogonal.meanSquare).toBeGreaterThan(0.05);
  expect(simplex.meanSquare / orthogonal.meanSquare).toBeLessThan(0.11);
});

/** The matrix of products of rows. */
const products = (matrix: Tensor): Tensor => matrix.matmul(matrix.t());

test("vectors of a simplex point away from each other, those of an orthogonal block aside", async () => {
  const generator = new Generator(3);
  for (const size of [2, 3, 8, 12, 16]) {
    const options = { rows: 2 * size, features: size, normalize: true, generator };
    const block = (matrix: Tensor): Tensor => products(matrix.narrow(0, size, size));
    const identity = eye(size);
    await expectClose(block(orthogonalRandomMatrix(options)), identity, { absolute: 1e-5 });
    const corners = identity.mul(1 + 1 / (size - 1)).sub(1 / (size - 1));
    await expectClose(block(simplexRandomMatrix(options)), corners, { absolute: 1e-5 });
  }
});

test("lengths are those of normally distributed vectors, whole or divided", async () => {
  const generator = new Generator(4);
  const draw = (options: { scale?: boolean; normalize?: boolean }): Promise<number> =>
    simplexRandomMatrix({ rows: 1024, features: 64, generator, ...options })
      .square()
      .sum(-1)
      .mean()
      .item();
  // A standard error is √(2 · 64 / 1024) = 0.35.
  expect(Math.abs((await draw({})) - 64)).toBeLessThan(1.1);
  expect(Math.abs((await draw({ scale: true })) - 1)).toBeLessThan(1.1 / 64);
  expect(await draw({ normalize: true })).toBeCloseTo(1, 5);
});

test("signs are fair, and a seed repeats them", async () => {
  const draw = (seed: number): Tensor =>
    orthogonalMatrixChunkHadamard(512, { generator: new Generator(seed) });
  expect(await draw(5).sub(draw(5)).abs().amax().item()).toBe(0);
  await expectClose(products(draw(5)), eye(512), { absolute: 1e-4 });
  // Signs of which more are −1 would leave something of the Hadamard matrix in the product.
  const common = (matrix: Tensor): Promise<number> =>
    matrix
      .mul(hadamardMatrix(512))
      .mul(512 ** -1.5)
      .sum()
      .abs()
      .item();
  expect(await common(draw(6))).toBeLessThan(4 / 512);
  const unfair = where(rand([3, 512], { generator: new Generator(7) }).lt(0.31), 1, -1).unbind(0);
  expect(await common(orthogonalMatrixChunkHadamard(512, { signs: unfair }))).toBeGreaterThan(0.02);
});

describe("errors", () => {
  test.each<[string, () => unknown, string]>([
    [
      "argument",
      () => simplexRandomMatrix({ rows: 0, features: 4 }),
      "simplexRandomMatrix: rows must be a whole number of at least 1, got 0. Correct it.",
    ],
    [
      "argument",
      () => simplexRandomMatrix({ rows: 9, features: 4, draws: [] }),
      "simplexRandomMatrix: 9 rows of size 4 need the draws of 3 blocks, got 0. Pass one for each.",
    ],
    [
      "argument",
      () => orthogonalMatrixChunkHadamard(12),
      "orthogonalMatrixChunkHadamard: there are Hadamard matrices of this kind for powers of two only, got 12. Use simplexRandomMatrix, which takes another construction.",
    ],
    [
      "shape",
      () => orthogonalMatrixChunkHadamard(4, { signs: [ones([4]), ones([3])] }),
      "orthogonalMatrixChunkHadamard: signs must be three tensors [4], got [4], [3]. Pass three.",
    ],
    [
      "shape",
      () => computeSimplexDir(4, { chi2: ones([3]) }),
      "computeSimplexDir: chi2 must be [4], got [3]. Pass one number a row.",
    ],
    [
      "argument",
      () => simplexDirections(1.5),
      "simplexDirections: size must be a whole number of at least 1, got 1.5. Correct it.",
    ],
  ])("%s: %#", (code, body, sentence) => {
    expect(body).toThrow(sentence);
    expect(codeOf(body)).toBe(code);
  });
});
