/** The same training run on every device. */

import { afterAll, expect, test } from "vitest";
import {
  crossEntropy,
  getDevice,
  manualSeed,
  randint,
  randn,
  reference,
  setDevice,
  wasm,
  type Device,
} from "@x/tensor";
import { LayerNorm, Linear, MultiheadAttention } from "@x/tensor/nn";
import { AdamW, clipGradNorm } from "@x/tensor/optim";
import { webgpu } from "../src/index.js";
import { plainDevice } from "./devices.js";

const before = getDevice();
afterAll(() => setDevice(before));

/** The losses of training a block of attention and a feed-forward layer. */
async function losses(device: Device, steps: number): Promise<number[]> {
  setDevice(device);
  manualSeed(3);
  const attention = new MultiheadAttention(8, 2, { batchFirst: true });
  const [norm, up, down] = [new LayerNorm(8), new Linear(8, 16), new Linear(16, 5)];
  const modules = [attention, norm, up, down];
  const parameters = modules.flatMap((module) => module.parameters());
  const optimizer = new AdamW(parameters, { lr: 0.01 });
  const x = randn([4, 6, 8]);
  const targets = randint(0, 5, [4 * 6]);
  await x.realize();
  const found: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { output: y } = attention.forward(x, x, x, { isCausal: true, needWeights: false });
    const logits = down.forward(up.forward(norm.forward(x.add(y))).gelu());
    const loss = crossEntropy(logits.reshape([4 * 6, 5]), targets);
    optimizer.zeroGrad();
    loss.backward();
    clipGradNorm(parameters, 1);
    await optimizer.step();
    found.push(await loss.item());
  }
  return found;
}

test("the loss of 200 steps is the same on every device", { timeout: 300_000 }, async () => {
  const expected = await losses(reference(), 200);
  expect(expected.at(-1)!).toBeLessThan(0.5 * expected[0]!);
  for (const device of [wasm(), await webgpu()]) {
    const found = await losses(device, 200);
    const largest = Math.max(...found.map((loss, i) => Math.abs(loss - expected[i]!)));
    expect(largest, device.name).toBeLessThan(1e-3);
  }
});

test(
  "eight buffers a kernel and no optional feature are enough",
  { timeout: 300_000 },
  async () => {
    const plain = await plainDevice();
    expect(plain.limits.maxStorageBuffersPerShaderStage).toBe(8);
    expect([...plain.features].filter((name) => name !== "core-features-and-limits")).toEqual([]);
    const found = await losses(await webgpu({ device: plain }), 5);
    const expected = await losses(reference(), 5);
    found.forEach((loss, step) => expect(loss).toBeCloseTo(expected[step]!, 4));
    plain.destroy();
  },
);
