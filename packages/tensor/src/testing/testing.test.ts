import { expect, test } from "vitest";
import { XError } from "../error.js";
import { applyOne, makeOp } from "../graph/node.js";
import { exp } from "../ops/elementwise.js";
import { reference } from "../reference/device.js";
import { tensor } from "../tensor/creation.js";
import { Tensor } from "../tensor/tensor.js";
import { compareElements, expectClose, largestError, ToleranceError } from "./compare.js";
import { codeOf, failureOf } from "./failures.js";
import { checkGradients } from "./gradients.js";
import { referenceData, referenceTensor } from "./reference-data.js";

const onReference = { device: reference() };

test("elements are compared within absolute + relative tolerance", () => {
  const tolerance = { relative: 0.1, absolute: 0.5 };
  expect(compareElements([10, 1.5], [9, 1], tolerance).isClose).toBe(true);
  expect(compareElements([10, 3], [9, 1], tolerance)).toMatchObject({
    isClose: false,
    index: 1,
    actual: 3,
    expected: 1,
  });
  expect(compareElements([100, 3], [100, 1], { ...tolerance, relativeTo: "largest" }).isClose).toBe(
    true,
  );
});

test("NaN equals NaN, infinities equal themselves", () => {
  expect(compareElements([NaN, Infinity], [NaN, Infinity]).isClose).toBe(true);
  expect(compareElements([1], [NaN]).isClose).toBe(false);
  expect(compareElements([Infinity], [-Infinity]).isClose).toBe(false);
  expect(compareElements([Infinity], [1]).isClose).toBe(false);
  expect(compareElements([], []).isClose).toBe(true);
  expect(compareElements([1], [1, 2]).isClose).toBe(false);
});

test("expectClose throws with the place of the largest error", async () => {
  await expectClose(tensor([1, 2], onReference), [1, 2.000001]);
  await expect(expectClose([1, 2], [1, 3])).rejects.toThrow(/3 was expected at index 1, got 2/);
  await expect(expectClose([1], [1, 3])).rejects.toThrow(ToleranceError);
});

test("largestError is the largest absolute difference", async () => {
  expect(await largestError([1, 2.5], [1, 2])).toBe(0.5);
  expect(await largestError([NaN], [1])).toBe(Infinity);
});

test("codes and sentences are those of the XError that is thrown", () => {
  const refused = (): never => {
    throw new XError("dtype", "cube: the type must be round, got square. Cast it.");
  };
  expect(codeOf(refused)).toBe("dtype");
  expect(failureOf(refused)).toBe("dtype | cube: the type must be round, got square. Cast it.");
  expect([codeOf(() => 1), failureOf(() => 1)]).toEqual([null, "nothing was thrown"]);
  const broken = (): never => {
    throw new TypeError("x is not a function");
  };
  for (const ask of [codeOf, failureOf]) expect(() => ask(broken)).toThrow(TypeError);
});

test("referenceData is not rounded", async () => {
  const x = tensor([1], onReference).div(3);
  expect([...(await referenceData(x))]).toEqual([1 / 3]);
  expect([...(await referenceData(referenceTensor(Float64Array.of(0.1), [1])))]).toEqual([0.1]);
});

test("right gradients pass, of first and second order", async () => {
  const x = tensor([[0.5, -1, 2]], onReference);
  const y = tensor([[1.5], [0.25]], onReference);
  const report = await checkGradients((a, b) => a.mul(b).sin().exp(), [x, y]);
  expect(report.compared).toBe(5);
  expect(report.worst).toBeLessThan(1);
  await checkGradients((a, b) => a.mul(b).sin().exp(), [x, y], { order: 2, relative: 1e-5 });
});

test("wrong gradients are found", async () => {
  const wrong = makeOp({
    name: "wrong",
    kind: "primitive",
    infer: ([x]) => [x!],
    compose: ([x]) => [exp(x!)],
    gradient: (_, [g]) => [g!],
  });
  const f = (x: Tensor): Tensor => new Tensor(applyOne(wrong, [x.value]));
  await expect(checkGradients(f, [tensor([1, 2], onReference)])).rejects.toThrow(
    /derivative with respect to element \d of input 0/,
  );
});
