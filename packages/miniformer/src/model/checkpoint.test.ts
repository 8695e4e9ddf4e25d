import { expect, test } from "vitest";
import { crossEntropy, fromData, manualSeed, memory, realize, setDevice } from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import { devices } from "../../test/devices.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { Transformer } from "./transformer.js";

// The reference takes memory for every intermediate result, and gives none of it back.
const others = devices.filter(([name]) => name !== "reference");

// In a file of its own: what plans hold does not shrink, so nothing may have run before.
test.each(others)(
  "on %s layers that compute again take less than half, for the same gradients",
  async (_, device) => {
    setDevice(device);
    const [batch, length] = [2, 64];
    const numbers = Int32Array.from({ length: batch * length }, (_, i) => (i * 7) % 50);
    const tokens = fromData(numbers, [batch, length]);
    const run = async (checkpoint: boolean) => {
      manualSeed(0);
      const sizes = { vocabSize: 50, dModel: 32, nLayers: 12, dropout: 0.1 };
      const model = new Transformer(TransformerConfig.tiny({ ...sizes, checkpoint }));
      await realize(...model.parameters());
      const loss = crossEntropy(model.forward(tokens).flatten(0, 1), tokens.flatten());
      loss.backward();
      const gradients = model.parameters().map(({ grad }) => grad!);
      await realize(loss, ...gradients);
      return { gradients, bytes: memory().plans };
    };
    const again = await run(true);
    const kept = await run(false);
    expect(again.bytes).toBeLessThan(kept.bytes / 2);
    for (const [i, gradient] of kept.gradients.entries()) {
      await expectClose(again.gradients[i]!, gradient, {
        relative: 1e-4,
        absolute: 1e-7,
        relativeTo: "largest",
      });
    }
  },
);
