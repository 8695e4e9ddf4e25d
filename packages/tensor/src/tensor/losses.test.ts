import { beforeAll, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { reference } from "../reference/device.js";
import { codeOf, expectClose } from "../testing/index.js";
import { ones, tensor } from "./creation.js";
import * as losses from "./losses.js";
import type { Tensor } from "./tensor.js";

beforeAll(() => {
  setDevice(reference());
});

const classes = (...numbers: number[]): Tensor => tensor(numbers, { dtype: "int32" });
const logits = (): Tensor =>
  tensor(
    [
      [1, 2, 0.5],
      [0, -1, 3],
      [2, 2, 2],
    ],
    { requiresGrad: true },
  );

test("cross entropy is the negative log-likelihood of the softmax", async () => {
  const target = classes(2, 0, 1);
  const weight = tensor([1, 2, 0.5]);
  for (const reduction of ["mean", "sum", "none"] as const) {
    for (const options of [{ reduction }, { reduction, weight }, { reduction, ignoreIndex: 0 }]) {
      const [a, b] = [logits(), logits()];
      const direct = losses.crossEntropy(a, target, options);
      const composed = losses.nllLoss(b.logSoftmax(1), target, options);
      direct.sum().backward();
      composed.sum().backward();
      await expectClose(await a.grad!.data(), await b.grad!.data());
      await expectClose(await direct.data(), await composed.data());
    }
  }
});

test("classes given as probabilities", async () => {
  const target = classes(2, 0, 1);
  const options = { labelSmoothing: 0.1, weight: tensor([1, 2, 3]), reduction: "sum" } as const;
  const byNumber = losses.crossEntropy(logits(), target, options);
  const byProbability = losses.crossEntropy(logits(), target.oneHot(3).float(), options);
  // Smoothing weights all classes by their own weight, the numbers' form the target by its own.
  expect(byProbability.shape).toEqual([]);
  const unweighted = { labelSmoothing: 0.1 };
  await expectClose(
    await losses.crossEntropy(logits(), target, unweighted).data(),
    await losses.crossEntropy(logits(), target.oneHot(3).float(), unweighted).data(),
  );
  await expectClose(await byNumber.data(), await byProbability.data());
});

test("the class axis is the second one, or the only one", async () => {
  const row = tensor([1, 2, 0.5]);
  const single = losses.crossEntropy(row, tensor(1, { dtype: "int32" }));
  const batch = losses.crossEntropy(row.unsqueeze(0), classes(1));
  const positions = losses.crossEntropy(row.reshape([1, 3, 1]), tensor([[1]], { dtype: "int32" }));
  await expectClose(await single.data(), await batch.data());
  await expectClose(await positions.data(), await batch.data());
});

test("only ignored targets: the mean is undefined, the sum 0", async () => {
  const target = classes(-100, -100, -100);
  expect(await losses.crossEntropy(logits(), target).item()).toBeNaN();
  expect(await losses.crossEntropy(logits(), target, { reduction: "sum" }).item()).toBe(0);
});

test("losses of differences", async () => {
  const [x, y] = [tensor([0, 1, 5]), tensor([0.5, 1, 1])];
  expect(await losses.mseLoss(x, y, { reduction: "sum" }).item()).toBe(16.25);
  expect(await losses.l1Loss(x, y, { reduction: "none" }).toArray()).toEqual([0.5, 0, 4]);
  const smooth = losses.smoothL1Loss(x, y, { reduction: "none", beta: 2 });
  expect(await smooth.toArray()).toEqual([0.0625, 0, 3]);
  expect(await losses.huberLoss(x, y, { reduction: "none", delta: 2 }).toArray()).toEqual([
    0.125, 0, 6,
  ]);
  expect(await losses.smoothL1Loss(x, y, { beta: 0, reduction: "sum" }).item()).toBe(4.5);
});

test("binary cross entropy of probabilities and of logits", async () => {
  const x = tensor([-2, 0, 3]);
  const y = tensor([0, 1, 1]);
  const weight = tensor([1, 2, 3]);
  await expectClose(
    await losses.binaryCrossEntropyWithLogits(x, y, { weight }).data(),
    await losses.binaryCrossEntropy(x.sigmoid(), y, { weight }).data(),
  );
  const certain = losses.binaryCrossEntropy(tensor([0, 1]), tensor([1, 1]), { reduction: "none" });
  expect(await certain.toArray()).toEqual([100, -0]);
  const posWeight = tensor([3]);
  const options = { posWeight, reduction: "none" } as const;
  const [first] = await losses
    .binaryCrossEntropyWithLogits(tensor([0]), tensor([1]), options)
    .data();
  expect(first).toBeCloseTo(3 * Math.LN2, 6);
});

test("divergence of distributions", async () => {
  const p = tensor([
    [0, 1],
    [0.5, 0.5],
  ]);
  const q = tensor(
    [
      [0.5, 0.5],
      [0.5, 0.5],
    ],
    { requiresGrad: true },
  );
  const loss = losses.klDiv(q.log(), p, { reduction: "batchmean" });
  loss.backward();
  expect(await q.grad!.toArray()).toEqual([
    [-0, -1],
    [-0.5, -0.5],
  ]);
  expect(await loss.item()).toBeCloseTo(Math.LN2 / 2, 6);
  const byLogarithm = losses.klDiv(
    q.log(),
    tensor([
      [0.5, 0.5],
      [0.5, 0.5],
    ]).log(),
    { logTarget: true },
  );
  expect(await byLogarithm.item()).toBeCloseTo(0, 12);
});

test("cosines", async () => {
  const x = tensor([
    [1, 0],
    [1, 1],
    [0, 0],
  ]);
  const y = tensor([
    [2, 0],
    [-1, 1],
    [1, 0],
  ]);
  const cosine = await losses.cosineSimilarity(x, y).data();
  await expectClose(cosine, [1, 0, 0]);
  const target = classes(1, -1, 1);
  const loss = losses.cosineEmbeddingLoss(x, y, target, { reduction: "none", margin: -0.5 });
  await expectClose(await loss.data(), [0, 0.5, 1]);
});

test("what does not fit is refused", () => {
  const x = ones([2, 3]);
  expect(() => losses.crossEntropy(x, classes(0, 3))).toThrow(
    "crossEntropy: targets must lie between 0 and 2 or be ignored (-100), got 3. Correct them.",
  );
  expect(codeOf(() => losses.crossEntropy(x, classes(0)))).toBe("shape");
  expect(codeOf(() => losses.crossEntropy(x, tensor([true, false])))).toBe("dtype");
  expect(codeOf(() => losses.crossEntropy(x, ones([2])))).toBe("shape");
  expect(codeOf(() => losses.crossEntropy(x, classes(0, 1), { weight: ones([2]) }))).toBe("shape");
  expect(codeOf(() => losses.crossEntropy(x, classes(0, 1), { labelSmoothing: 2 }))).toBe(
    "argument",
  );
  // @ts-expect-error there is no such reduction
  expect(codeOf(() => losses.crossEntropy(x, classes(0, 1), { reduction: "max" }))).toBe(
    "argument",
  );
  // @ts-expect-error nor here
  expect(codeOf(() => losses.mseLoss(x, x, { reduction: "batchmean" }))).toBe("argument");
  expect(codeOf(() => losses.mseLoss(x, ones([3])))).toBe("shape");
  expect(codeOf(() => losses.huberLoss(x, x, { delta: 0 }))).toBe("argument");
});
