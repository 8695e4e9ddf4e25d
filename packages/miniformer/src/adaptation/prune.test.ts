import { beforeAll, describe, expect, test } from "vitest";
import { manualSeed, mseLoss, randn, setDevice } from "@x/tensor";
import { Linear, ReLU, Sequential } from "@x/tensor/nn";
import { AdamW } from "@x/tensor/optim";
import { expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { finishPruning, prune } from "./prune.js";
import { quantize } from "./quantize.js";

const make = (): Sequential => new Sequential(new Linear(8, 16), new ReLU(), new Linear(16, 4));

/** The places of the largest magnitudes. */
function largest(numbers: ArrayLike<number>, count: number): number[] {
  const places = Array.from({ length: numbers.length }, (_, i) => i);
  places.sort((a, b) => Math.abs(numbers[b]!) - Math.abs(numbers[a]!));
  return places.slice(0, count).sort((a, b) => a - b);
}

const nonZero = (numbers: ArrayLike<number>): number[] =>
  Array.from(numbers).flatMap((x, i) => (x === 0 ? [] : [i]));

describe.each(devices)("prune on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(3);
  });

  test("keeps the largest, of all maps or of each, through training", async () => {
    const model = make();
    const weights = [model[0] as Linear, model[2] as Linear].map(({ weight }) => weight);
    const [first, second] = await Promise.all(weights.map((weight) => weight.data()));
    const report = await prune(model, { amount: 0.7 });
    expect(report.sparsity).toBeCloseTo(0.7, 2);
    const all = [...first!, ...second!];
    const kept = largest(all, all.length - Math.round(0.7 * all.length));
    const x = await randn([10, 8]).realize();
    const optimizer = new AdamW(model.parameters(), { lr: 0.05 });
    for (let i = 0; i < 4; i++) {
      optimizer.zeroGrad();
      mseLoss(model.forward(x), x.narrow(1, 0, 4)).backward();
      await optimizer.step();
    }
    const output = await model.forward(x).data();
    await finishPruning(model);
    expect(model[0]!.constructor).toBe(Linear);
    await expectClose(model.forward(x), output);
    const after = await Promise.all(weights.map((weight) => weight.data()));
    expect(nonZero([...after[0]!, ...after[1]!])).toEqual(kept);
    expect(after[0]).not.toEqual(first);

    const other = make();
    const { weight } = other[2] as Linear;
    const before = await weight.data();
    const { maps } = await prune(other, { amount: 0.25, scope: "layer" });
    expect(maps).toEqual([
      { name: "0", size: 128, pruned: 32, sparsity: 0.25 },
      { name: "2", size: 64, pruned: 16, sparsity: 0.25 },
    ]);
    // More of it, later: what was pruned stays so.
    await prune(other, { amount: 0.5, scope: "layer", targets: ["2"] });
    await finishPruning(other);
    expect(nonZero(await weight.data())).toEqual(largest(before, 32));
  });

  test("of equal weights exactly as many as asked for", async () => {
    const model = new Sequential(new Linear(4, 5));
    const { weight } = model[0] as Linear;
    weight.assign(weight.mul(0).add(1));
    expect((await prune(model, { amount: 0.3 })).maps[0]!.pruned).toBe(6);
    expect((await prune(model, { amount: 0 })).maps[0]!.pruned).toBe(0);
    expect((await prune(model, { amount: 1 })).sparsity).toBe(1);
    expect(
      await model[0]!
        .forward(randn([1, 4]))
        .sub((model[0] as Linear).bias!)
        .data(),
    ).toEqual(new Float32Array(5));
  });
});

test("errors of prune", async () => {
  await expect(prune(make(), { amount: 2 })).rejects.toThrow(
    "prune: amount must lie between 0 and 1, got 2. Correct it.",
  );
  await expect(prune(make(), { amount: 0.5, targets: ["wq"] })).rejects.toThrow(
    "prune: the targets must name linear maps of the model, got wq. Choose among 0, 2.",
  );
  await expect(finishPruning(make())).rejects.toThrow(
    "finishPruning: the model must have masks, got none in Sequential. Call prune() first.",
  );
  const narrow = make();
  await quantize(narrow, { dtype: "float16" });
  await expect(prune(narrow, { amount: 0.5 })).rejects.toThrow(
    "prune: weights must be float32, got float16 for 0. Prune before quantize().",
  );
});
