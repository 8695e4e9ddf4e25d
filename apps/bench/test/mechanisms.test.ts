/** What every attention mechanism promises, shown in the same encoder and the same language model. */

import {
  arange,
  cat,
  fromData,
  getDevice,
  manualSeed,
  noGrad,
  profile,
  randn,
  realize,
  setDevice,
  type Tensor,
} from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { devices } from "../../../packages/tensor/test/devices.js";
import { MechanismEncoder, MechanismLanguageModel } from "../src/mechanisms/model.js";
import { mechanisms } from "../src/mechanisms/table.js";

const shape = { width: 16, heads: 2, layers: 2, length: 24 };
const vocabulary = 11;
const batch = 2;

function tokensUpTo(length: number): Tensor {
  return arange(batch * length, { dtype: "int32" })
    .mul(7)
    .remainder(vocabulary)
    .reshape([batch, length]);
}

async function numbers(x: Tensor): Promise<number[]> {
  return Array.from(await x.data(), Number);
}

for (const [deviceName, device] of devices) {
  describe.each(mechanisms)(`$name on ${deviceName}`, (entry) => {
    const before = getDevice();
    beforeAll(() => {
      setDevice(device);
    });
    afterAll(() => {
      setDevice(before);
    });

    const model = (): MechanismLanguageModel => {
      manualSeed(3);
      return new MechanismLanguageModel(entry, shape, vocabulary).eval();
    };

    it("gives an encoder its shapes, and is determined by the seed", async () => {
      const once = async (): Promise<number[]> => {
        manualSeed(5);
        const encoder = new MechanismEncoder(entry, shape).eval();
        const y = encoder.forward(randn([batch, 24, shape.width]));
        expect(y.shape).toEqual([batch, 24, shape.width]);
        return numbers(y);
      };
      const first = await once();
      expect(first.every(Number.isFinite)).toBe(true);
      expect(await once()).toEqual(first);
    });

    it("is not influenced by padding", async () => {
      manualSeed(6);
      const encoder = new MechanismEncoder(entry, shape).eval();
      const x = await randn([batch, 24, shape.width]).realize();
      const isPadding = arange(24).ge(fromData(Int32Array.of(24, 15), [2, 1]));
      const keyMask = isPadding.logicalNot();
      const disturbed = x.add(isPadding.unsqueeze(-1).mul(100));
      const [a, b] = await Promise.all(
        [x, disturbed].map((input) => {
          const y = encoder.forward(input, { keyMask });
          return numbers(y.maskedFill(isPadding.unsqueeze(-1), 0));
        }),
      );
      await expectClose(a!, b!, { relative: 1e-4, absolute: 1e-5 });
    });

    it("does not see the future", async () => {
      const language = model();
      const tokens = tokensUpTo(24);
      const before = await numbers(noGrad(() => language.forward(tokens)).narrow(1, 0, 13));
      const late = arange(24).ge(13);
      const changed = tokens.add(late.mul(3).cast("int32")).remainder(vocabulary);
      const after = await numbers(noGrad(() => language.forward(changed)).narrow(1, 0, 13));
      expect(after).toEqual(before);
    });

    it("gives step by step what it gives at once", async () => {
      const language = model();
      const tokens = tokensUpTo(24);
      const whole = await numbers(noGrad(() => language.forward(tokens)));
      const states = language.encoder.initState(batch);
      const parts: Tensor[] = [];
      let start = 0;
      for (const length of [9, 1, 1, 6, 1, 6]) {
        const part = tokens.narrow(1, start, length);
        const y = noGrad(() => language.step(part, states, fromData(Int32Array.of(start), [])));
        await y.data();
        parts.push(y);
        start += length;
      }
      expect(start).toBe(24);
      await expectClose(await numbers(cat(parts, 1)), whole, { relative: 1e-3, absolute: 1e-4 });
    });

    it("compiles nothing after the first steps of decoding", async () => {
      const language = model();
      const states = language.encoder.initState(batch);
      const step = async (i: number): Promise<void> => {
        const token = fromData(Int32Array.of(i % 5, i % 7), [batch, 1]);
        const y = noGrad(() => language.step(token, states, fromData(Int32Array.of(i), [])));
        await y.data();
        y.dispose();
      };
      for (let i = 0; i < 2; i++) await step(i);
      const { compileCount } = await profile(async () => {
        for (let i = 2; i < 24; i++) await step(i);
      });
      expect(compileCount).toBe(0);
    });

    it("has gradients for every parameter, and learns", async () => {
      const language = model().train();
      const tokens = tokensUpTo(24);
      const logits = language.forward(tokens.narrow(1, 0, 23));
      const target = tokens.narrow(1, 1, 23);
      const loss = logits.logSoftmax(-1).gather(-1, target.unsqueeze(-1)).mean().neg();
      loss.backward();
      const gradients = language.namedParameters();
      for (const [name, { grad }] of gradients) {
        expect(grad, name).not.toBeNull();
        const [largest] = await numbers(grad!.abs().max());
        expect(Number.isFinite(largest), name).toBe(true);
        // A key's bias moves all scores of a query alike, so that softmax does not feel it.
        expect(largest, name).toBeGreaterThan(0);
      }
      const before = await loss.item();
      for (const [, parameter] of language.namedParameters()) {
        parameter.assign(parameter.detach().sub(parameter.grad!.mul(0.05)));
      }
      await realize(...[...language.parameters()]);
      const again = noGrad(() => language.forward(tokens.narrow(1, 0, 23)));
      const after = again.logSoftmax(-1).gather(-1, target.unsqueeze(-1)).mean().neg();
      expect(await after.item()).toBeLessThan(before);
    });
  });
}
