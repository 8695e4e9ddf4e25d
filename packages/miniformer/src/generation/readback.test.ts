/** What generation reads from the device. */

import { setDevice, Tensor } from "@x/tensor";
import { afterEach, expect, test, vi } from "vitest";
import { devices } from "../../test/devices.js";
import { TinyLanguageModel } from "../../test/tiny-language-model.js";
import { generate } from "./generate.js";
import type { GenerateOptions } from "./options.js";

afterEach(() => {
  vi.restoreAllMocks();
});

test.each(devices)("on %s only the token of each row is read at each step", async (_, device) => {
  setDevice(device);
  const model = new TinyLanguageModel();
  const all: GenerateOptions = { temperature: 0.9, topK: 8, topP: 0.9, minP: 0.01, seed: 1 };
  for (const options of [{}, { repetitionPenalty: 1.3 }, all, { useCache: false }]) {
    const read = vi.spyOn(Tensor.prototype, "data");
    await generate(model, [[1, 2, 3], [4]], { maxNewTokens: 9, ...options }).tokens();
    const tensors = read.mock.contexts.filter((context: unknown) => context instanceof Tensor);
    const what = tensors.map(({ dtype, shape }) => `${dtype} [${shape.join()}]`);
    expect(what).toEqual(Array.from({ length: 9 }, () => "int32 [2]"));
    read.mockRestore();
  }
});
