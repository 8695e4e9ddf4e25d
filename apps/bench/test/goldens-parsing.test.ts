/** Reading what golden files say in words. */

import { expect, test } from "vitest";
import { tensor, type Tensor } from "@x/tensor";
import { compareTensor } from "../src/goldens/compare.js";
import { parseArgument, parseChain } from "../src/goldens/ops/call-syntax.js";
import { shapeOperation } from "../src/goldens/ops/shapes.js";
import { Settings } from "../src/goldens/settings.js";
import { Subject, type Output } from "../src/goldens/subject.js";
import { reference } from "@x/tensor";

test("chains of calls", () => {
  expect(parseChain("transpose(1,2).reshape(2, 5, -1)")).toEqual([
    { kind: "call", name: "transpose", positional: [1, 2], named: new Map() },
    { kind: "call", name: "reshape", positional: [2, 5, -1], named: new Map() },
  ]);
  expect(parseChain("split([2, 3], dim=-1) of 5")).toEqual([
    { kind: "call", name: "split", positional: [[2, 3]], named: new Map([["dim", -1]]) },
  ]);
  expect(parseChain("flip dims (0,2)")).toBeNull();
});

test("index expressions", () => {
  expect(parseChain("x[:, 1:3, ::2, ..., -1]")).toEqual([
    { kind: "index", parts: [[null, null, 1], [1, 3, 1], [null, null, 2], "...", -1] },
  ]);
  expect(parseChain("x[0].t()")).toHaveLength(2);
});

test("arguments", () => {
  expect(parseArgument("-0.5")).toBe(-0.5);
  expect(parseArgument("(1, (2, 3))")).toEqual([1, [2, 3]]);
  expect(parseArgument("None")).toBeNull();
  expect(parseArgument("True")).toBe(true);
  expect(parseArgument("'mean'")).toBe("mean");
});

function run(text: string, x: Tensor): Output[] {
  const subject = new Subject(reference(), new Settings(), new Map());
  subject.inputs = () => [x];
  const { outputs } = shapeOperation(text)(subject, "key") as { outputs: Record<string, Output> };
  return Object.values(outputs);
}

const x = tensor(
  Array.from({ length: 24 }, (_, i) => i),
  { device: reference() },
).reshape([2, 3, 4]);

test.each([
  ["transpose(-1,-2)", [2, 4, 3]],
  ["permute((2,0,1))", [4, 2, 3]],
  ["view(2,-1)", [2, 12]],
  ["x[1, ..., ::3]", [3, 2]],
  ["x[:, 1:].flatten()", [16]],
  ["pad last dim (1,2), second-last (0,3), value 0.5", [2, 6, 7]],
  ["pad dim 0 (1,1)", [4, 3, 4]],
  ["pad((1, 2, 0, 1), value=2)", [2, 4, 7]],
  ["roll shifts (1,-2) dims (0,1)", [2, 3, 4]],
  ["roll(2, dims=1)", [2, 3, 4]],
  ["flip dims (0,2)", [2, 3, 4]],
  ["flip(1)", [2, 3, 4]],
  ["expand(5,2,3,4) from (2,3,4)", [5, 2, 3, 4]],
  ["repeat_interleave(3, dim=1)", [2, 9, 4]],
  ["narrow(dim=2, start=1, length=2)", [2, 3, 2]],
  ["diagonal(dim1=-2, dim2=-1)", [2, 3]],
  ["unfold(dim=2,size=3,step=1)", [2, 3, 2, 3]],
  ["cat dim 1", [2, 3, 4]],
  ["stack dim -1", [2, 3, 4, 1]],
] as const)("%s", (text, shape) => {
  const [y] = run(text, x) as [Tensor];
  expect(y.shape).toEqual(shape);
});

test("operations with several results", () => {
  expect(run("chunk(3, dim=-1) of size 4: 2,2", x).map((y) => (y as Tensor).shape[2])).toEqual([
    2, 2,
  ]);
  expect(run("split((1, 2), dim=1)", x)).toHaveLength(2);
  expect(run("unbind(-2)", x)).toHaveLength(3);
});

test("unknown operations are refused", () => {
  expect(() => run("fold(1)", x)).toThrow('"fold" is unknown');
});

test("numbers in settings may be written in words", () => {
  const settings = Settings.parse(
    '{"a": "inf", "b": "-inf", "c": "minus float32 max (-3.4e38)", "d": null, "e": 2}',
  );
  expect(["a", "b", "c", "d", "e"].map((key) => settings.number(key))).toEqual([
    Infinity,
    -Infinity,
    -3.4e38,
    undefined,
    2,
  ]);
});

test("tolerances", () => {
  const bounds = new Map([["output.final.bias", 0.03]]);
  const file = { deviation: 1e-6, zeros: new Set(["grad.zero"]), bounds };
  const expected = { shape: [2], dtype: "float32", data: Float32Array.of(0, 2) } as const;
  const actual = { shape: [2], data: [0.00004, 2] };
  const output = compareTensor(file, "output.y", actual, expected);
  expect(output.error).toBeCloseTo(2e-5, 10);
  expect(output.tolerance).toBeCloseTo(3e-5, 10);
  expect(compareTensor(file, "grad.y", actual, expected).tolerance).toBeCloseTo(1.5e-4, 10);
  expect(compareTensor(file, "grad.zero", actual, expected)).toMatchObject({
    error: 2,
    tolerance: 1e-4,
  });
  const moved = compareTensor(file, "output.final.bias", { shape: [2], data: [0.02, 2] }, expected);
  expect(moved).toMatchObject({ error: 0.02, tolerance: 0.03 });
  const wrongShape = compareTensor(file, "output.y", { shape: [1, 2], data: [0, 2] }, expected);
  expect(wrongShape.problem).toMatch(/must be \[2\], got \[1,2\]/);
  const integers = { shape: [2], dtype: "int32", data: Int32Array.of(1, 2) } as const;
  expect(compareTensor(file, "output.i", { shape: [2], data: [1, 3] }, integers)).toMatchObject({
    error: 1,
    tolerance: 0,
  });
  const isNaN = { shape: [1], dtype: "float32", data: Float32Array.of(NaN) } as const;
  expect(compareTensor(file, "output.n", { shape: [1], data: [NaN] }, isNaN).error).toBe(0);
  expect(compareTensor(file, "output.n", { shape: [1], data: [0] }, isNaN).error).toBe(Infinity);
});
