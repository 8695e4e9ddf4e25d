import { cat, manualSeed, noGrad, profile, randn, setDevice, tensor, type Tensor } from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import { beforeAll, describe, expect, it } from "vitest";
import { SelfAttention } from "../src/index.js";
import { devices } from "../../tensor/test/devices.js";

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(5);
  });

  it("local heads and global ones with a blind spot go on from part to part", async () => {
    const attention = new SelfAttention(16, 4, {
      causal: true,
      nLocalAttnHeads: 2,
      localAttnWindowSize: 4,
      blindspotSize: 3,
    }).eval();
    const x = await randn([2, 15, 16]).realize();
    const inputMask = tensor([
      Array.from({ length: 15 }, (_, i) => i % 5 !== 3),
      Array.from({ length: 15 }, (_, i) => i > 2),
    ]);
    await inputMask.realize();
    const whole = attention.forward(x, { inputMask });
    const state = attention.initState({ batch: 2, masked: true });
    const parts: Tensor[] = [];
    let [start, compiled] = [0, 0];
    for (const length of [6, 1, 1, 1, 1, 5]) {
      const part = await x.narrow(1, start, length).realize();
      const mask = await inputMask.narrow(1, start, length).realize();
      const { result, compileCount } = await profile(() =>
        noGrad(() => attention.forward(part, { inputMask: mask, state })).realize(),
      );
      parts.push(result);
      if (start > 7 && length === 1) compiled += compileCount;
      start += length;
    }
    expect(compiled).toBe(0);
    await expectClose(cat(parts, 1), whole, { relative: 2e-5, relativeTo: "largest" });
  });
});
