/** The table of mechanisms beside that of the command, and the model that the slow suite trains. */

import { cat, fromData, manualSeed, noGrad, randn, type Tensor } from "@x/tensor";
import type { AttentionMechanism } from "@x/tensor/nn";
import { expectClose } from "@x/tensor/testing";
import { describe, expect, test } from "vitest";
import { attentionNames, loadAttention } from "../../../packages/miniformer/src/cli/plug-ins.js";
import { registeredAttention } from "../../../packages/miniformer/src/config/attention-registry.js";
import { MechanismLanguageModel } from "../src/mechanisms/model.js";
import { mechanisms } from "../src/mechanisms/table.js";

test("the command has the same names", () => {
  expect([...attentionNames].sort()).toEqual(mechanisms.map(({ name }) => name).sort());
});

test.each(mechanisms.slice(1))("$name is what the command makes", async (entry) => {
  await loadAttention([entry.name]);
  const command = registeredAttention(entry.name);
  expect(command.needsNorm ?? false).toBe(entry.needsNorm);
  const sizes = { headDim: 8, length: 256 };
  const x = await randn([1, 1, 70, 8]).realize();
  const resultOf = (make: () => AttentionMechanism): Tensor => {
    manualSeed(1);
    return noGrad(() => make().forward(x, x, x, { isCausal: true }));
  };
  const own = resultOf(() => entry.make(sizes));
  const theirs = resultOf(() => command.make({ ...sizes, nHeads: 1, options: {} }));
  expect(await theirs.data()).toEqual(await own.data());
  const other = resultOf(() => command.make({ ...sizes, nHeads: 1, options: { length: 70 } }));
  await expectClose(
    other,
    resultOf(() => entry.make({ headDim: 8, length: 70 })),
  );
});

describe.each(mechanisms)("the slow suite's model with $name", (entry) => {
  test("gives step by step what it gives at once", async () => {
    manualSeed(2);
    const shape = { width: 16, heads: 2, layers: 1, length: 12 };
    const model = new MechanismLanguageModel(entry, shape, 5).eval();
    const tokens = fromData(
      Int32Array.from({ length: 24 }, (_, i) => (i * i) % 5),
      [2, 12],
    );
    const states = model.encoder.initState(2);
    const parts: Tensor[] = [];
    for (const [start, size] of [
      [0, 7],
      [7, 1],
      [8, 4],
    ] as const) {
      const part = tokens.narrow(1, start, size);
      parts.push(await noGrad(() => model.step(part, states, start)).realize());
    }
    const whole = noGrad(() => model.forward(tokens));
    await expectClose(cat(parts, 1), whole, { relative: 1e-3, absolute: 1e-4 });
  });
});
