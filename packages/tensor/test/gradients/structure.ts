import { cat, einsum, stack } from "../../src/tensor/joining.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { awayFromZero, distinct, indices, uniform, type GradientCase } from "./case.js";

function ofOne(
  name: string,
  f: (x: Tensor) => Tensor,
  x: Tensor = uniform([2, 3, 4]),
): GradientCase {
  // Squared, so that second derivatives are not all zero.
  return { name, f: (input) => f(input).square(), inputs: [x] };
}

/** Views and copies. */
export const movementCases: readonly GradientCase[] = [
  ofOne("reshape", (x) => x.reshape([4, 6])),
  ofOne("permute", (x) => x.permute([2, 0, 1])),
  ofOne("expand", (x) => x.expand([3, 2, 4]), uniform([2, 1])),
  ofOne("slice", (x) => x.slice(1, [0, 2], [1, null, 2])),
  ofOne("pad", (x) => x.pad([1, 2, -1, 1], 0.5)),
  ofOne("flip", (x) => x.flip([0, 2])),
  ofOne("roll", (x) => x.roll([1, -2], [0, 2])),
  ofOne("repeat", (x) => x.repeat([2, 1, 3])),
  ofOne("repeatInterleave", (x) => x.repeatInterleave(3, 1)),
  ofOne("unfold, overlapping", (x) => x.unfold(2, 3, 1)),
  ofOne("unfold, overlapping by parts of a step", (x) => x.unfold(1, 5, 2), uniform([2, 10, 2])),
  ofOne("unfold, overlapping by whole steps", (x) => x.unfold(1, 4, 2), uniform([2, 9])),
  ofOne("unfold, with gaps", (x) => x.unfold(1, 2, 3), uniform([2, 9])),
  ofOne("diagonal", (x) => x.diagonal(1, -2, -1)),
  ofOne("diagonal of a tall matrix", (x) => x.diagonal(0, 0, 1), uniform([5, 3])),
  ofOne("tril", (x) => x.tril(1)),
  {
    name: "cat",
    f: (a, b) => cat([a, b], 1).square(),
    inputs: [uniform([2, 3]), uniform([2, 1])],
  },
  { name: "stack", f: (a, b) => stack([a, b], 1).sin(), inputs: [uniform([2]), uniform([2])] },
];

/** Reductions. */
export const reductionCases: readonly GradientCase[] = [
  ofOne("sum", (x) => x.sum([0, 2])),
  ofOne("mean", (x) => x.mean(1, { keepdim: true })),
  ofOne("prod", (x) => x.prod(1)),
  { ...ofOne("prod with a zero", (x) => x.mul(0).add(x.relu()).prod(0), awayFromZero([3])) },
  ofOne("amax", (x) => x.amax([0, 1]), distinct([2, 3, 4])),
  ofOne("amin", (x) => x.amin(1), distinct([2, 3, 4])),
  ofOne("max along an axis", (x) => x.max(2).values, distinct([2, 3, 4])),
  ofOne("var", (x) => x.var(1)),
  ofOne("std", (x) => x.std([0, 2], { correction: 0 })),
  ofOne("logsumexp", (x) => x.logsumexp([1])),
  ofOne("norm", (x) => x.norm(2, -1)),
  ofOne("norm, p = 3", (x) => x.norm(3, 0), awayFromZero([2, 3])),
];

function indexed(
  name: string,
  f: (x: Tensor, index: Tensor, source: Tensor) => Tensor,
  x: Tensor,
  index: Tensor,
  ...source: Tensor[]
): GradientCase {
  return { name, f: (a, b, c) => f(a, b, c).square(), inputs: [x, index, ...source] };
}

/** Indexing and scattering; indices repeat. */
export const indexingCases: readonly GradientCase[] = [
  indexed("take", (x, index) => x.take(index, 1), uniform([2, 4, 2]), indices([2, 2], 4)),
  indexed("gather", (x, index) => x.gather(1, index), uniform([3, 4]), indices([2, 5], 4)),
  indexed(
    "scatter",
    (x, index, source) => x.scatter(0, index, source),
    uniform([4, 3]),
    indices([1, 3], 4),
    uniform([1, 3]),
  ),
  indexed(
    "scatterAdd",
    (x, index, source) => x.scatterAdd(1, index, source),
    uniform([3, 4]),
    indices([3, 5], 4),
    uniform([3, 5]),
  ),
  indexed(
    "indexAdd",
    (x, index, source) => x.indexAdd(0, index, source),
    uniform([4, 2]),
    indices([5], 4),
    uniform([5, 2]),
  ),
  {
    name: "dynamicSlice",
    f: (x) => x.dynamicSlice(1, 2, 3).square(),
    inputs: [uniform([2, 6])],
  },
  {
    name: "dynamicUpdate",
    f: (x, source) => x.dynamicUpdate(1, source, 4).square(),
    inputs: [uniform([2, 6]), uniform([2, 3])],
  },
];

function product(name: string, equation: string, ...inputs: Tensor[]): GradientCase {
  return { name, f: (...operands) => einsum(equation, ...operands).square(), inputs };
}

/** Matrix products. */
export const productCases: readonly GradientCase[] = [
  {
    name: "matmul, broadcast batch",
    f: (a, b) => a.matmul(b).square(),
    inputs: [uniform([2, 1, 3, 2]), uniform([3, 2, 2])],
  },
  {
    name: "matmul of vectors",
    f: (a, b) => a.matmul(b).square(),
    inputs: [uniform([3]), uniform([3])],
  },
  product("einsum", "bij,bjk->bki", uniform([2, 3, 2]), uniform([2, 2, 4])),
  product("einsum of three", "ij,jk,i->k", uniform([3, 2]), uniform([2, 4]), uniform([3])),
  product("einsum with a diagonal", "bii->bi", uniform([2, 3, 3])),
];
