import { beforeAll, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import { setDevice } from "../device/current.js";
import { manualSeed } from "../random/index.js";
import {
  loadSafetensors,
  loadSafetensorsFile,
  openSafetensors,
  saveSafetensors,
} from "../safetensors/index.js";
import { tensor } from "../tensor/creation.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectClose } from "../testing/index.js";
import { LayerNorm, Linear, TransformerEncoder, TransformerEncoderLayer } from "./index.js";

/** Recorded from `torch.nn.TransformerEncoder`: parameters, an input and its output. */
const recorded = new URL(
  "../../../../goldens/ops/encoder_2layer_pre_norm.safetensors",
  import.meta.url,
);

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(0);
  });

  test("a checkpoint of PyTorch is loaded, runs, and is written back to the last bit", async () => {
    const tensors = await loadSafetensorsFile(recorded);
    const parameters = new Map<string, Tensor>();
    for (const [name, value] of tensors) {
      if (name.startsWith("param.")) parameters.set(name.slice("param.".length), value);
    }
    const checkpoint = await saveSafetensors(parameters);

    const layer = new TransformerEncoderLayer({
      dModel: 12,
      nHead: 3,
      dimFeedforward: 20,
      dropout: 0,
      normFirst: true,
      batchFirst: true,
    });
    const encoder = new TransformerEncoder(layer, { numLayers: 2, norm: new LayerNorm(12) });
    const report = encoder.loadStateDict(await loadSafetensors(checkpoint));
    expect(report).toEqual({ missing: [], unexpected: [] });
    const y = encoder.forward(tensors.get("input.src")!, {
      srcKeyPaddingMask: tensors.get("input.src_key_padding_mask")!,
    });
    await expectClose(y, await tensors.get("output.y")!.data(), {
      relative: 2e-5,
      relativeTo: "largest",
    });

    // Computing has moved the parameters to the device; their bits are the same.
    expect(await saveSafetensors(encoder.stateDict())).toEqual(checkpoint);
    encoder.loadStateDict(await loadSafetensors(checkpoint));
    expect(await saveSafetensors(encoder.stateDict())).toEqual(checkpoint);
  });

  test("a checkpoint of half the size is loaded too", async () => {
    const half = await saveSafetensors({
      weight: tensor([[1, 0.1]], { dtype: "float16" }),
      bias: tensor([-2], { dtype: "float16" }),
    });
    expect((await openSafetensors(half)).entry("weight").dtype).toBe("F16");
    const layer = new Linear(2, 1);
    layer.loadStateDict(await loadSafetensors(half));
    const y = await layer.forward(tensor([[1, 1]])).item();
    expect(y).toBeCloseTo(1 + 0.0999756 - 2, 6);
  });
});
