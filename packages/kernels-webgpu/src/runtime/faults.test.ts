import { afterAll, expect, test } from "vitest";
import {
  crossEntropy,
  fromData,
  getDevice,
  manualSeed,
  randint,
  randn,
  setDevice,
  tensor,
  XError,
  zeros,
  type Tensor,
  type XErrorCode,
} from "@x/tensor";
import { Linear } from "@x/tensor/nn";
import { AdamW, packOptimizerState, unpackOptimizerState } from "@x/tensor/optim";
import { loadSafetensors, saveSafetensors } from "@x/tensor/safetensors";
import { requestGpu } from "../adapter/request.js";
import { plainNullDevice } from "../../test/devices.js";
import { webgpu } from "../index.js";

const before = getDevice();
afterAll(() => setDevice(before));

/** The error a promise is rejected with, which must have this code. */
async function failure(code: XErrorCode, promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => "nothing went wrong",
    (reason: unknown) => reason,
  );
  expect(XError.isInstance(error) && error.code, String(error)).toBe(code);
  return (error as XError).message;
}

test("a lost device fails whatever waits for it, and all that follows", async () => {
  const { device: raw } = await requestGpu();
  setDevice(await webgpu({ device: raw }));
  const x = await randn([64, 64]).realize();
  const pending = [x.data(), x.matmul(x).data(), x.add(1).sum().item()];
  raw.destroy();
  const messages = await Promise.all(pending.map((promise) => failure("device", promise)));
  for (const message of messages) expect(message).toMatch(/a lost device \(destroyed/);
  await failure("device", x.data());
  await failure("device", x.mul(3).realize());
  await failure("device", zeros([5]).add(2).data());
});

test("training goes on from saved state after the device was lost", async () => {
  const { device: raw } = await requestGpu();
  setDevice(await webgpu({ device: raw }));
  const trainer = new Trainer();
  const first = [await trainer.step(), await trainer.step()];
  const saved = await trainer.save();
  const expected = [await trainer.step(), await trainer.step(), await trainer.step()];
  raw.destroy();
  await failure("device", trainer.step());

  setDevice(await webgpu());
  const again = new Trainer();
  await again.load(saved);
  const found = [await again.step(), await again.step(), await again.step()];
  expect(found).toEqual(expected);
  expect(found[2]!).toBeLessThan(first[0]!);
});

test("a kernel that WebGPU refuses is named", async () => {
  const { device: raw } = await requestGpu();
  const device = await webgpu({ device: raw });
  setDevice(device);
  const createBindGroup = raw.createBindGroup.bind(raw);
  raw.createBindGroup = (descriptor) => {
    const [first, ...others] = [...descriptor.entries];
    const isBad = descriptor.label?.startsWith("matmul") === true;
    return createBindGroup({ ...descriptor, entries: isBad ? [first!] : [first!, ...others] });
  };
  const x = await randn([3, 3]).realize();
  const product = x.matmul(x).softmax(-1);
  for (let time = 0; time < 2; time++) {
    expect(await failure("internal", product.realize())).toMatch(
      /^webgpu: the kernel "matmul [^"]+" must be valid, got: /,
    );
  }
  // What has nothing to do with it works, and so does the kernel once it is valid.
  expect(await tensor([1, 2]).add(1).toArray()).toEqual([2, 3]);
  raw.createBindGroup = createBindGroup;
  expect(await product.sum().item()).toBeCloseTo(3, 5);
  raw.destroy();
});

test("where memory runs out, what needs it fails, and the rest goes on", async () => {
  const raw = await plainNullDevice();
  setDevice(await webgpu({ device: raw }));
  const size = 30 * 2 ** 20;
  const kept: Tensor[] = [];
  for (let i = 0; i < 4; i++) kept.push(await zeros([size]).add(i).realize()); // 480 of 512 MiB
  const message = await failure("memory", zeros([size]).add(5).realize());
  expect(message).toMatch(/^webgpu: the GPU must have room for what is computed, got: /);
  // The intermediates of a plan, and numbers from JavaScript.
  const sum = zeros([size]).add(1).cumsum(0).sum();
  await failure("memory", sum.realize());
  const given = fromData(new Float32Array(size), [size]);
  await failure("memory", given.add(1).sum().realize());
  await failure("memory", given.add(1).sum().realize());
  expect(await zeros([5]).add(1).data()).toHaveLength(5);

  for (const tensor of kept) tensor.dispose();
  await sum.realize();
  await zeros([size]).add(5).realize();
  raw.destroy();
});

/** A small model with its optimizer, and data that are always the same. */
class Trainer {
  readonly #model: Linear;
  readonly #optimizer: AdamW;
  readonly #x: Tensor;
  readonly #targets: Tensor;

  constructor() {
    manualSeed(5);
    this.#model = new Linear(6, 4);
    this.#optimizer = new AdamW(this.#model.parameters(), { lr: 0.05 });
    this.#x = randn([12, 6]);
    this.#targets = randint(0, 4, [12]);
  }

  async step(): Promise<number> {
    const loss = crossEntropy(this.#model.forward(this.#x), this.#targets);
    this.#optimizer.zeroGrad();
    loss.backward();
    await this.#optimizer.step();
    return loss.item();
  }

  async save(): Promise<Saved> {
    const { tensors, metadata } = packOptimizerState(this.#optimizer.stateDict());
    const model = await saveSafetensors(this.#model.stateDict());
    return { model, optimizer: await saveSafetensors(tensors), metadata };
  }

  async load({ model, optimizer, metadata }: Saved): Promise<void> {
    this.#model.loadStateDict(await loadSafetensors(model));
    const tensors = await loadSafetensors(optimizer);
    this.#optimizer.loadStateDict(unpackOptimizerState(tensors, metadata));
  }
}

interface Saved {
  readonly model: Uint8Array;
  readonly optimizer: Uint8Array;
  readonly metadata: Record<string, string>;
}
