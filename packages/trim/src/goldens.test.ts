import { beforeAll, describe, expect, test } from "vitest";
import { cat, setDevice, type Tensor } from "@x/tensor";
import { LayerNorm, type ActivationName } from "@x/tensor/nn";
import { loadSafetensors, saveSafetensors } from "@x/tensor/safetensors";
import { devices } from "../../tensor/test/devices.js";
import {
  expectGolden,
  goldenNames,
  parametersOf,
  readGolden,
  type Golden,
} from "../test/goldens.js";
import { RecordedDropout, RecordedPositions } from "../test/recorded.js";
import {
  CumulativeLinearMultiheadAttentionKV,
  CumulativeTransformerEncoderKV,
  CumulativeTransformerEncoderLayerKV,
} from "./index.js";

function attentionOf({ config }: Golden): CumulativeLinearMultiheadAttentionKV {
  const norms = config.norms as string | null;
  return new CumulativeLinearMultiheadAttentionKV(
    config.embed_dim as number,
    config.num_heads as number,
    {
      dropout: config.dropout as number,
      bias: config.bias as boolean,
      addBiasKv: config.add_bias_kv as boolean,
      kdim: config.kdim as number | null,
      vdim: config.vdim as number | null,
      batchFirst: config.batch_first as boolean,
      normQ: norms === "all",
      normK: norms === "all" || norms === "k",
      normV: norms === "all",
      compat: "reference",
    },
  );
}

function layerOf(golden: Golden): CumulativeTransformerEncoderLayerKV {
  const { config, tensors } = golden;
  const all = typeof config.norms === "string";
  const layer = new CumulativeTransformerEncoderLayerKV({
    dModel: config.d_model as number,
    nHead: config.nhead as number,
    dimFeedforward: config.dim_feedforward as number,
    dropout: config.dropout as number,
    activation: config.activation as ActivationName,
    layerNormEps: config.layer_norm_eps as number,
    batchFirst: config.batch_first as boolean,
    normFirst: config.norm_first as boolean,
    bias: (config.bias as boolean | undefined) ?? true,
    posEmb: config.pos_emb ? new RecordedPositions(tensors.get("param.pos_emb.emb")!) : null,
    normQ: all || config.norm_q === true,
    normK: all || config.norm_k === true,
    normV: all || config.norm_v === true,
    compat: "reference",
  });
  const mask = (i: number): RecordedDropout | null => {
    const kept = tensors.get(`random.dropout_mask_${i}`);
    return kept ? new RecordedDropout(config.dropout as number, kept) : null;
  };
  layer.selfAttn.dropout = mask(0) ?? layer.selfAttn.dropout;
  layer.dropout1 = mask(1) ?? layer.dropout1;
  layer.dropout = mask(2) ?? layer.dropout;
  layer.dropout2 = mask(3) ?? layer.dropout2;
  return layer;
}

function encoderOf(golden: Golden): CumulativeTransformerEncoderKV {
  const { config } = golden;
  const norm = config.final_norm === true ? new LayerNorm(config.d_model as number) : null;
  const numLayers = config.num_layers as number;
  return new CumulativeTransformerEncoderKV(layerOf(golden), { numLayers, norm });
}

function callOf({ config, tensors }: Golden) {
  return {
    isCausal: config.is_causal === true,
    mask: tensors.get("input.mask") ?? null,
    srcKeyPaddingMask: tensors.get("input.src_key_padding_mask") ?? null,
  };
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
  });

  test.each(goldenNames("mha_"))("golden %s", async (name) => {
    const recorded = await readGolden(name, device);
    const attention = attentionOf(recorded);
    attention.loadStateDict(parametersOf(recorded));
    const { tensors } = recorded;
    const query = tensors.get("input.query")!;
    const key = tensors.get("input.key") ?? query;
    const value = tensors.get("input.value") ?? key;
    const y = attention.forward(query, key, value, callOf(recorded));
    await expectGolden(recorded, { y }, new Map(attention.namedParameters()));
  });

  test.each([...goldenNames("layer_"), ...goldenNames("encoder_")])("golden %s", async (name) => {
    const recorded = await readGolden(name, device);
    const isStack = recorded.config.cls === "CumulativeTransformerEncoderKV";
    const model = isStack ? encoderOf(recorded) : layerOf(recorded);
    model.loadStateDict(parametersOf(recorded));
    const y = model.forward(recorded.tensors.get("input.src")!, callOf(recorded));
    await expectGolden(recorded, { y }, new Map(model.namedParameters()));
  });

  test.each(goldenNames("streaming_"))("golden %s", async (name) => {
    const recorded = await readGolden(name, device);
    const { config, tensors } = recorded;
    const model = encoderOf(recorded).eval();
    model.loadStateDict(parametersOf(recorded));
    const batchFirst = config.batch_first as boolean;
    const arranged = (x: Tensor): Tensor => (batchFirst ? x : x.transpose(0, 1));
    const src = tensors.get("input.src")!;
    const outputs: Record<string, Tensor> = {};
    let start = 0;
    const run = async (length: number, useKvCache: boolean): Promise<Tensor> => {
      const part = arranged(src.narrow(1, start, length));
      start += length;
      const y = model.forward(part, { isCausal: true, useKvCache, updateKvCache: true });
      return arranged(await y.realize());
    };
    const note = (phase: string): void => {
      [...model.layers].forEach((layer, i) => {
        const { store } = layer.selfAttn.kvCache!;
        outputs[`cache_after_${phase}.${i}`] = store.unsqueeze(2).add(0);
      });
    };
    const settle = async (): Promise<void> => {
      for (const output of Object.values(outputs)) await output.realize();
    };
    outputs.prefill = await run(config.prefill as number, false);
    note("prefill");
    await settle();
    const rows: Tensor[] = [];
    for (let i = 0; i < (config.tokens as number); i++) rows.push(await run(1, true));
    outputs.tokens = cat(rows, 1);
    note("tokens");
    await settle();
    if ((config.chunk as number) > 0) {
      outputs.chunk = await run(config.chunk as number, true);
      note("chunk");
    }
    outputs.full = arranged(model.forward(arranged(src), { isCausal: true }));
    await expectGolden(recorded, outputs);
  });

  test.each(goldenNames("encoder_"))(
    "a checkpoint of %s goes in and out unchanged",
    async (name) => {
      const recorded = await readGolden(name, device);
      const original = await saveSafetensors(parametersOf(recorded));
      const model = encoderOf(recorded);
      const report = model.loadStateDict(await loadSafetensors(original));
      expect(report).toEqual({ missing: [], unexpected: [] });
      await model.forward(recorded.tensors.get("input.src")!, { isCausal: true }).realize();
      const saved = await saveSafetensors(model.stateDict());
      expect(Buffer.from(saved).equals(Buffer.from(original))).toBe(true);
    },
  );
});

test("the state dictionary has the names of the original, for every recorded case", async () => {
  for (const prefix of ["mha_", "layer_", "encoder_", "streaming_"]) {
    for (const name of goldenNames(prefix)) {
      const recorded = await readGolden(name, devices[0]![1]);
      const model =
        prefix === "mha_"
          ? attentionOf(recorded)
          : prefix === "layer_"
            ? layerOf(recorded)
            : encoderOf(recorded);
      const names = Object.keys(model.stateDict()).sort();
      expect(names).toEqual([...parametersOf(recorded).keys()].sort());
    }
  }
});
