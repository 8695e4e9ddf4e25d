/** Sequences that come in parts: a beginning, single tokens, a chunk, and the whole for comparison. */

import { cat, type Tensor } from "@x/tensor";
import { loadParameters } from "../modules.js";
import type { Output, Runner } from "../subject.js";
import { buildEncoder } from "./models.js";

/**
 * Outputs what each part gives, and the caches of all layers after it. Inputs and outputs are batch
 * first whatever the model is.
 */
export const runStreaming: Runner = async (subject) => {
  const { settings } = subject;
  const model = buildEncoder(subject).eval();
  loadParameters(model, subject);
  const isBatchFirst = settings.boolean("batch_first") ?? false;
  const arranged = (x: Tensor): Tensor => (isBatchFirst ? x : x.transpose(0, 1));
  const src = subject.input("src");
  const outputs: Record<string, Output> = {};
  let start = 0;
  const advance = async (length: number, useKvCache: boolean): Promise<Tensor> => {
    const part = arranged(src.narrow(1, start, length));
    start += length;
    const y = model.forward(part, { isCausal: true, useKvCache, updateKvCache: true });
    return arranged(await y.realize());
  };
  // Caches are updated in place: what they hold now is copied.
  const noteCaches = async (part: string): Promise<void> => {
    for (const [i, layer] of [...model.layers].entries()) {
      const { store } = layer.selfAttn.kvCache!;
      const { shape } = store.unsqueeze(2);
      outputs[`cache_after_${part}.${i}`] = { shape, data: await store.data() };
    }
  };

  outputs.prefill = await advance(settings.requiredNumber("prefill"), false);
  await noteCaches("prefill");
  const tokens: Tensor[] = [];
  const count = settings.number("tokens") ?? 0;
  for (let i = 0; i < count; i++) tokens.push(await advance(1, true));
  if (count > 0) {
    outputs.tokens = cat(tokens, 1);
    await noteCaches("tokens");
  }
  const chunk = settings.number("chunk") ?? 0;
  if (chunk > 0) {
    outputs.chunk = await advance(chunk, true);
    await noteCaches("chunk");
  }
  outputs.full = arranged(model.forward(arranged(src), { isCausal: true }));
  return { outputs };
};
