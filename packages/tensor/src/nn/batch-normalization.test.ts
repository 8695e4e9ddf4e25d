import { beforeAll, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import { setDevice } from "../device/current.js";
import { manualSeed, randn } from "../random/index.js";
import { ones, tensor, zeros } from "../tensor/creation.js";
import { reference } from "../reference/device.js";
import { batchNorm } from "../tensor/normalization.js";
import { checkGradients, codeOf, expectClose, failureOf } from "../testing/index.js";
import { BatchNorm1d, Parameter } from "./index.js";

const tolerance = { relative: 1e-5, absolute: 5e-6 };

describe.each(devices)("BatchNorm1d on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(0);
  });

  test.each([[[5, 3]], [[2, 3, 4]]])("does what batchNorm does: %j", async (shape) => {
    const norm = new BatchNorm1d(3, { momentum: 0.25, eps: 0.1 });
    norm.weight!.assign(randn([3]));
    norm.bias!.assign(randn([3]));
    const { weight, bias } = norm;
    const [mean, variance] = [zeros([3]), ones([3])];
    const options = { weight, bias, momentum: 0.25, eps: 0.1 };
    for (let batch = 0; batch < 2; batch++) {
      const x = await randn(shape).realize();
      const expected = batchNorm(x, mean, variance, { ...options, training: true });
      await expectClose(norm.forward(x), await expected.data(), tolerance);
    }
    await expectClose(norm.runningMean, await mean.data(), tolerance);
    await expectClose(norm.runningVar, await variance.data(), tolerance);
    expect(await norm.numBatchesTracked.item()).toBe(2);

    const x = await randn(shape).realize();
    const later = await norm.eval().forward(x).realize();
    await expectClose(later, await batchNorm(x, mean, variance, options).data(), tolerance);
    expect(await norm.numBatchesTracked.item()).toBe(2);
  });

  test("has the gradients of batchNorm, also of its weights", async () => {
    const [x, factor] = [randn([6, 2]), randn([6, 2])];
    await x.realize();
    await factor.realize();
    const gradientsOf = async (
      compute: (norm: BatchNorm1d, y: typeof x) => typeof x,
    ): Promise<number[][]> => {
      const norm = new BatchNorm1d(2);
      const y = new Parameter(x);
      compute(norm, y).mul(factor).sum().backward();
      const of = [y, norm.weight!, norm.bias!].map(({ grad }) => grad!.data());
      return (await Promise.all(of)).map((numbers) => [...numbers]);
    };
    const actual = await gradientsOf((norm, y) => norm.forward(y));
    const expected = await gradientsOf((norm, y) => {
      const { weight, bias } = norm;
      return batchNorm(y, null, null, { weight, bias, training: true });
    });
    for (const [i, numbers] of expected.entries()) {
      await expectClose(tensor(actual[i]!), numbers, tolerance);
    }
    expect(Math.max(...expected[0]!.map(Math.abs))).toBeGreaterThan(0.01);
  });

  test("leaves out what a mask hides, and leaves it as it is", async () => {
    const x = await randn([2, 3, 4]).realize();
    const mask = tensor([
      [true, false, true, true],
      [false, false, true, true],
    ]);
    const norm = new BatchNorm1d(3);
    const y = await norm.forward(x.where(mask.unsqueeze(1), 100), { mask }).realize();
    // The same columns in a batch of their own.
    const columns = (z: typeof x): typeof x =>
      z
        .transpose(1, 2)
        .reshape([8, 3])
        .take(tensor([0, 2, 3, 6, 7], { dtype: "int32" }), 0);
    const alone = new BatchNorm1d(3);
    await expectClose(columns(y), await alone.forward(columns(x)).data(), tolerance);
    await expectClose(norm.runningMean, await alone.runningMean.data(), tolerance);
    await expectClose(norm.runningVar, await alone.runningVar.data(), tolerance);
    expect(await y.select(2, 1).toArray()).toEqual(new Array(2).fill([100, 100, 100]));
    const evaluated = norm.eval().forward(x, { mask });
    expect(await evaluated.select(2, 1).toArray()).toEqual(await x.select(2, 1).toArray());

    // Nothing counts: numbers stay numbers.
    const none = zeros([2, 4], { dtype: "bool" });
    const empty = new BatchNorm1d(3);
    await expectClose(empty.forward(x, { mask: none }), await x.data());
    await expectClose(empty.runningMean, [0, 0, 0]);
  });

  test("has the names of PyTorch, and refuses what does not fit", () => {
    expect(Object.keys(new BatchNorm1d(2).stateDict())).toEqual([
      "weight",
      "bias",
      "running_mean",
      "running_var",
      "num_batches_tracked",
    ]);
    expect(new BatchNorm1d(2, { affine: false }).parameters()).toEqual([]);
    expect(codeOf(() => new BatchNorm1d(0))).toBe("argument");
    expect(codeOf(() => new BatchNorm1d(2, { eps: -1 }))).toBe("argument");
    expect(codeOf(() => new BatchNorm1d(2, { momentum: 2 }))).toBe("argument");
    expect(failureOf(() => new BatchNorm1d(2).forward(ones([4, 3])))).toBe(
      "shape | BatchNorm1d: the input must be float32 [batch, 2], got float32 [4, 3]. Reshape or cast, or make the module for these sizes.",
    );
    expect(codeOf(() => new BatchNorm1d(2).forward(ones([2])))).toBe("shape");
    expect(codeOf(() => new BatchNorm1d(2).forward(ones([3, 2, 4, 4])))).toBe("shape");
    const mask = ones([2, 3], { dtype: "bool" });
    expect(failureOf(() => new BatchNorm1d(2).forward(ones([3, 2, 4]), { mask }))).toContain(
      "shape | BatchNorm1d: the mask must be bool [3, 4], got bool [2, 3]",
    );
  });
});

test("BatchNorm1d has the gradients of what a mask leaves", async () => {
  setDevice(reference());
  manualSeed(1);
  const mask = tensor([true, true, false, true, false]);
  const report = await checkGradients(
    (x) => new BatchNorm1d(2).forward(x, { mask }),
    [randn([5, 2])],
  );
  expect(report.compared).toBe(10);
});
