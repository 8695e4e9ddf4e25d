import { beforeAll, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { reference } from "../reference/device.js";
import { tensor } from "./creation.js";
import { cumulativeLinearAttention } from "./linear-attention.js";
import { peek } from "./peek.js";
import { realize } from "./realize.js";

beforeAll(() => {
  setDevice(reference());
});

const column = (...numbers: number[]) => tensor(numbers.map((n) => [n]));

test("queries read the sum of products up to their last key", async () => {
  const [q, k, v] = [column(1, 1, 2), column(1, 2, 3), column(1, 1, 10)];
  const causal = cumulativeLinearAttention(q, k, v, { causal: true });
  expect(await causal.output.toArray()).toEqual([[1], [3], [66]]);
  expect(await causal.state.toArray()).toEqual([[33]]);
  const mask = tensor([2, -1, 0], { dtype: "int32" });
  const state = tensor([[100]]);
  const masked = cumulativeLinearAttention(q, k, v, { mask, state, scale: 0.5 });
  expect(await masked.output.toArray()).toEqual([[66.5], [50], [101]]);
  expect(await masked.state.toArray()).toEqual([[133]]);
});

test("a mask whose numbers are at hand is checked", () => {
  const x = column(1, 2, 3);
  for (const wrong of [3, -2]) {
    const mask = tensor([0, wrong, 1], { dtype: "int32" });
    expect(() => cumulativeLinearAttention(x, x, x, { mask })).toThrow(
      `cumulativeLinearAttention: a mask names the last visible of 3 keys, −1 to 2, got ${wrong}. Correct the mask.`,
    );
  }
});

test("peek shows numbers only where they are at hand and current", async () => {
  const x = tensor([1, 2]);
  expect(peek(x)).toEqual(Float32Array.of(1, 2));
  expect(peek(tensor([0.5], { dtype: "float16" }))).toEqual(Float32Array.of(0.5));
  expect(peek(x.add(1))).toBeNull();
  const before = x.detach();
  await realize(before);
  x.assign(x.add(1));
  expect(peek(x)).toBeNull();
  x.dispose();
  expect(peek(x)).toBeNull();
});
