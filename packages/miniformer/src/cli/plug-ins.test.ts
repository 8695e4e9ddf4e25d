import { getDevice, ones, reference, setDevice, XError, zeros } from "@x/tensor";
import { expect, test } from "vitest";
import { Transformer } from "../model/transformer.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { registeredAttention } from "../config/attention-registry.js";
import { attentionNames, attentionSpec, loadAttention, useDevice } from "./plug-ins.js";

const missing = async (): Promise<never> => {
  throw new Error("Cannot find package\nRequire stack: …");
};

test.each(attentionNames)(
  "a model can be made with %s, and its configuration read",
  async (name) => {
    await loadAttention([name]);
    const config = new TransformerConfig({
      ...{ vocabSize: 10, outputDim: 10, dModel: 16, nHeads: 2, nLayers: 2, maxSeqLen: 64 },
      attention: attentionSpec(name, 64),
    });
    const again = TransformerConfig.fromJSON(JSON.parse(JSON.stringify(config)));
    const output = new Transformer(again).eval().forward(zeros([1, 64], { dtype: "int32" }));
    expect(await output.isfinite().all().item()).toBe(1);
  },
);

test("trim has norms, and is made for the length of training and not the longest one", async () => {
  await loadAttention(["trim"]);
  const { make, needsNorm } = registeredAttention("trim");
  expect(needsNorm).toBe(true);
  const sizes = { headDim: 16, nHeads: 1, length: 2048 };
  const trim = make({ ...sizes, options: { length: 64 } });
  const x = ones([1, 1, 1, 16]);
  expect(await trim.forward(x, x, x, {}).max().item()).toBeCloseTo(16 / 32);
});

test("a package that is not installed is named", async () => {
  const error = await loadAttention(["softmax", "srf"], missing).catch((thrown: unknown) => thrown);
  expect(XError.isInstance(error) && error.code).toBe("unsupported");
  expect((error as Error).message).toBe(
    "--attention srf: the package @x/srf must be installed, got none that can be loaded (Cannot find package). Install it beside @x/miniformer: npm install @x/srf.",
  );
  await expect(useDevice({ device: "webgpu", threads: 1 }, missing)).rejects.toThrow(
    "--device webgpu: the package @x/kernels-webgpu must be installed",
  );
});

test("softmax and the built-in devices load nothing", async () => {
  const before = getDevice();
  await loadAttention(["softmax"], missing);
  await useDevice({ device: "reference", threads: 1 }, missing);
  expect(getDevice()).toBe(reference());
  setDevice(before);
});
