/** Published checkpoints with narrow weights: how far their results are from those of the whole ones. */

import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { fromData } from "@x/tensor";
import { fromPretrained } from "../src/pretrained/index.js";
import { quantize } from "../src/adaptation/quantize.js";

const recordings = new URL("../../../goldens-hf/", import.meta.url);

test.each(["gpt2-tiny", "llama-tiny-gqa", "qwen2-tiny-f16", "bert-tiny"])(
  "%s: results within 2 %, weights a quarter of the bytes",
  async (name) => {
    const { model } = await fromPretrained(fileURLToPath(new URL(name, recordings)));
    const length = 16;
    const ids = Int32Array.from({ length: 2 * length }, (_, i) => 3 + ((i * 7) % 50));
    const tokens = fromData(ids, [2, length]);
    const before = await model.forward(tokens).data();
    const { bytesBefore, bytesAfter, maps } = await quantize(model, { dtype: "int8" });
    const after = await model.forward(tokens).data();
    const norm = (numbers: ArrayLike<number>): number => Math.hypot(...Array.from(numbers));
    const difference = norm(Array.from(after, (x, i) => x - before[i]!)) / norm(before);
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(0.02);
    // A byte a weight, and four bytes for each row of at least 32 of them.
    expect(bytesAfter / bytesBefore).toBeLessThan(0.25 * (1 + 4 / 32));
    // Nothing of weight was left out: what stays wide are vectors, positions and kinds of tokens.
    const wide = Object.entries(model.stateDict()).filter(
      ([, { rank, dtype }]) => rank > 1 && dtype === "float32",
    );
    expect(maps.length).toBeGreaterThan(6);
    expect(wide.map(([key]) => key).filter((key) => !/pos|type|scale/.test(key))).toEqual([]);
  },
);
