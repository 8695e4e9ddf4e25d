/** Renaming, splitting, joining and transposing, there and back. */

import { expect, test } from "vitest";
import { storedShapes, toOwn, toStored, type Rule } from "./rule.js";

const numbers = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => i);

const split: Rule = { stored: [["c_attn"]], own: ["wq", "wk"], isTransposed: true };

test("one stored matrix [in, out] is split into several [out, in]", () => {
  const own = [
    [2, 3],
    [1, 3],
  ];
  expect(storedShapes(split, own)).toEqual([[3, 3]]);
  const stored = Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7, 8);
  const [wq, wk] = toOwn(split, [stored], own);
  expect([...wq!]).toEqual([0, 3, 6, 1, 4, 7]);
  expect([...wk!]).toEqual([2, 5, 8]);
  expect(toStored(split, [wq!, wk!], own)).toEqual([stored]);
});

test("vectors are split and not transposed", () => {
  const own = [[2], [1]];
  expect(storedShapes(split, own)).toEqual([[3]]);
  expect(toOwn(split, [numbers(3)], own).map((part) => [...part])).toEqual([[0, 1], [2]]);
});

test("several stored matrices are joined", () => {
  const rule: Rule = { stored: [["gate"], ["up"]], own: ["w12"] };
  const own = [[4, 2]];
  expect(storedShapes(rule, own)).toEqual([
    [2, 2],
    [2, 2],
  ]);
  const parts = [numbers(4), numbers(4).map((x) => x + 4)];
  const whole = toOwn(rule, parts, own);
  expect(whole).toEqual([numbers(8)]);
  expect(toStored(rule, whole, own)).toEqual(parts);
});

test("large matrices are transposed exactly", () => {
  const rule: Rule = { stored: [["a"]], own: ["b"], isTransposed: true };
  const stored = numbers(70 * 45);
  const [b] = toOwn(rule, [stored], [[45, 70]]);
  for (let i = 0; i < 70; i++)
    for (let j = 0; j < 45; j++) {
      if (b![j * 70 + i] !== i * 45 + j) expect.fail(`element ${i}, ${j}`);
    }
  expect(toStored(rule, [b!], [[45, 70]])).toEqual([stored]);
});

test("first rows may be left out", () => {
  const rule: Rule = { stored: [["positions"]], own: ["positions"], skippedRows: 2 };
  expect(storedShapes(rule, [[3, 2]])).toEqual([[5, 2]]);
  expect([...toOwn(rule, [numbers(10)], [[3, 2]])[0]!]).toEqual([4, 5, 6, 7, 8, 9]);
});
