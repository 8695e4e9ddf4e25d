import { beforeAll, describe, expect, test } from "vitest";
import {
  cat,
  manualSeed,
  memory,
  noGrad,
  profile,
  randn,
  setDevice,
  tensor,
  zeros,
  type Tensor,
} from "@x/tensor";
import { forkState, LayerNorm, LearnedPositionalEncoding, Linear } from "@x/tensor/nn";
import { loadSafetensors, saveSafetensors } from "@x/tensor/safetensors";
import { codeOf, expectClose } from "@x/tensor/testing";
import { compositions, randomComposition } from "../test/chunkings.js";
import { devices } from "../../tensor/test/devices.js";
import {
  CumulativeLinearAttention,
  CumulativeTransformerEncoderKV,
  CumulativeTransformerEncoderLayerKV,
  type CumulativeCall,
  type CumulativeEncoderLayerOptions,
  type CumulativeState,
} from "./index.js";

const close = { relative: 2e-5, absolute: 1e-6, relativeTo: "largest" } as const;

function encoder(options: Partial<CumulativeEncoderLayerOptions> = {}, numLayers = 2) {
  const layer = new CumulativeTransformerEncoderLayerKV({
    dModel: 8,
    nHead: 2,
    dimFeedforward: 12,
    batchFirst: true,
    ...options,
  });
  const norm = new LayerNorm(8);
  const model = new CumulativeTransformerEncoderKV(layer, { numLayers, norm }).eval();
  // Norms and biases that do nothing would hide what belongs to them.
  for (const parameter of model.parameters()) {
    parameter.assign(parameter.add(randn(parameter.shape).mul(0.1)));
  }
  return model;
}

/** Runs the parts one after the other; each is computed before the next where `eager`. */
async function stream(
  model: CumulativeTransformerEncoderKV,
  x: Tensor,
  parts: readonly number[],
  call: (start: number, length: number) => CumulativeCall,
  eager: boolean,
): Promise<Tensor> {
  const axis = model.layers[0]!.batchFirst && x.rank === 3 ? 1 : 0;
  const outputs: Tensor[] = [];
  let start = 0;
  for (const length of parts) {
    const options = { isCausal: true, ...call(start, length) };
    const y = model.forward(x.narrow(axis, start, length), options);
    outputs.push(eager ? await y.realize() : y);
    start += length;
  }
  return cat(outputs, axis);
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(3);
  });

  const padding = (): Tensor =>
    tensor([
      [true, false, false, true, false, true],
      [false, false, false, false, true, true],
    ]);

  test.each([
    ["batch first, norm first", { normFirst: true }],
    ["length first, norm last", { batchFirst: false }],
    ["all head norms", { normQ: true, normK: true, normV: true, normFirst: true }],
    ["positions", { withPositions: true }],
    ["positions, length first", { withPositions: true, batchFirst: false }],
    ["shared key heads and a trained key", { kvHeads: 1, addBiasKv: true, normK: true }],
  ] as const)("every chunking equals the whole: %s", async (_name, options) => {
    const { withPositions = false, ...others } = options as typeof options & {
      withPositions?: boolean;
    };
    const posEmb = withPositions ? new LearnedPositionalEncoding(16, 8) : null;
    const model = encoder({ ...others, posEmb });
    const batchFirst = model.layers[0]!.batchFirst;
    const x = await randn(batchFirst ? [2, 6, 8] : [6, 2, 8]).realize();
    const srcKeyPaddingMask = padding();
    const whole = model.forward(x, { isCausal: true, srcKeyPaddingMask });
    for (const parts of compositions(6)) {
      const state = model.initState(2);
      const call = (start: number, length: number): CumulativeCall => ({
        state,
        srcKeyPaddingMask: srcKeyPaddingMask.narrow(1, start, length),
      });
      await expectClose(await stream(model, x, parts, call, true), whole, close);
      expect(await state.position.item()).toBe(6);
    }
  });

  test("chunks may be recorded first and computed together", async () => {
    const model = encoder({ posEmb: new LearnedPositionalEncoding(16, 8) });
    const x = await randn([2, 6, 8]).realize();
    const whole = model.forward(x, { isCausal: true });
    for (const parts of [[2, 3, 1], [1, 1, 1, 1, 1, 1], [6]]) {
      const state = model.initState(2);
      await expectClose(await stream(model, x, parts, () => ({ state }), false), whole, close);
    }
  });

  test("long sequences in random chunks, through the cache of the module and through a state", async () => {
    const model = encoder({ normQ: true, normK: true, normV: true });
    const x = await randn([3, 150, 8]).realize();
    const whole = await model.forward(x, { isCausal: true }).realize();
    for (const [seed, largest] of [
      [1, 5],
      [2, 40],
      [3, 100],
    ] as const) {
      const parts = randomComposition(150, largest, seed);
      const state = model.initState(3);
      await expectClose(await stream(model, x, parts, () => ({ state }), true), whole, close);
      model.clearKvCache();
      const cached = { useKvCache: true, updateKvCache: true };
      await expectClose(await stream(model, x, parts, () => cached, true), whole, close);
      const { position, ...stores } = model.kvCache!;
      expect(await position.item()).toBe(150);
      for (const [name, store] of Object.entries(stores)) {
        await expectClose(store, state[name]!, close);
      }
    }
  });

  test("updating the cache without using it starts anew", async () => {
    const model = encoder();
    const [a, b, c] = [randn([2, 4, 8]), randn([2, 3, 8]), randn([2, 2, 8])];
    await model.forward(a, { isCausal: true, updateKvCache: true }).realize();
    await model.forward(b, { isCausal: true, updateKvCache: true }).realize();
    const y = model.forward(c, { isCausal: true, useKvCache: true });
    const whole = model.forward(cat([b, c], 1), { isCausal: true });
    await expectClose(y, whole.narrow(1, 3, 2), close);
    expect(await model.kvCache!.position.item()).toBe(3);
    model.clearKvCache();
    expect(model.kvCache).toBeNull();
    const fresh = model.forward(c, { isCausal: true, useKvCache: true });
    await expectClose(fresh, model.forward(c, { isCausal: true }), close);
  });

  test("a batch of another size replaces the cache, and cannot use it", async () => {
    const model = encoder();
    await model.forward(randn([2, 4, 8]), { updateKvCache: true }).realize();
    expect(() => model.forward(randn([3, 1, 8]), { useKvCache: true })).toThrow(
      "the cache must fit the batch, got one of shape [2, 2, 4, 4] for [3, 2, 4, 4]. Call clearKvCache() first.",
    );
    await model.forward(randn([3, 1, 8]), { updateKvCache: true }).realize();
    expect(model.kvCache!["layers.0.store"]!.shape).toEqual([3, 2, 4, 4]);
  });

  test("the future has no influence, to the last bit", async () => {
    const model = encoder({ normQ: true, normK: true }, 3);
    for (const [length, cut] of [
      [40, 17],
      [200, 131],
      [70, 69],
    ] as const) {
      const x = randn([2, length, 8]);
      const other = cat([x.narrow(1, 0, cut), randn([2, length - cut, 8]).mul(100)], 1);
      const [a, b] = [x, other].map((input) => model.forward(input, { isCausal: true }));
      const past = async (y: Tensor) => y.narrow(1, 0, cut).data();
      expect(await past(a!)).toEqual(await past(b!));
      expect(await a!.data()).not.toEqual(await b!.data());
    }
  });

  test("a saved, a restored and a forked state go on identically", async () => {
    const model = encoder({ posEmb: new LearnedPositionalEncoding(64, 8) });
    const [prompt, next] = [randn([1, 5, 8]), randn([1, 3, 8])];
    await next.realize();
    const state = model.initState(1);
    await model.forward(prompt, { isCausal: true, state }).realize();
    const fork = forkState(state);
    const bytes = await saveSafetensors(state);
    const restored = Object.fromEntries(await loadSafetensors(bytes)) as CumulativeState;
    expect(Object.keys(restored).sort()).toEqual(["layers.0.store", "layers.1.store", "position"]);
    const results: unknown[] = [];
    for (const memory of [state, restored, fork]) {
      const rows: unknown[] = [];
      for (let i = 0; i < 3; i++) {
        const y = model.forward(next.narrow(1, i, 1), { isCausal: true, state: memory });
        rows.push(await y.toArray());
      }
      rows.push(await saveSafetensors(memory));
      results.push(rows);
    }
    expect(results[2]).toEqual(results[0]);
    // The reference keeps more digits than a file does.
    if (device.name === "reference") return;
    expect(results[1]).toEqual(results[0]);

    model.kvCache = Object.fromEntries(await loadSafetensors(bytes)) as CumulativeState;
    const call = { isCausal: true, useKvCache: true, updateKvCache: true };
    const rows: unknown[] = [];
    for (let i = 0; i < 3; i++)
      rows.push(await model.forward(next.narrow(1, i, 1), call).toArray());
    expect(rows).toEqual((results[0] as unknown[]).slice(0, 3));
    expect(await saveSafetensors(model.kvCache)).toEqual((results[0] as unknown[])[3]);
  });

  test("decoding compiles nothing and takes no memory after the second step", async () => {
    const model = encoder({ posEmb: new LearnedPositionalEncoding(256, 8), normQ: true });
    const head = new Linear(8, 5);
    const state = model.initState(2);
    const states = [{ state }, { useKvCache: true, updateKvCache: true }] as const;
    const prompt = randn([2, 4, 8]);
    for (const memoryOfCall of states) {
      const call = { isCausal: true, ...memoryOfCall };
      await noGrad(() => model.forward(prompt, { ...call, useKvCache: false })).realize();
      const token = tensor(new Float32Array(16)).reshape([2, 1, 8]);
      await token.realize();
      const step = async (i: number): Promise<number> => {
        const x = noGrad(() => token.add(tensor(Float32Array.of(i))));
        return noGrad(() => head.forward(model.forward(x, call)).sum()).item();
      };
      const totals: number[] = [];
      let compiled = 0;
      for (let i = 0; i < 200; i++) {
        const { compileCount } = await profile(() => step(i));
        if (i < 2) continue;
        compiled += compileCount;
        totals.push(memory().total);
      }
      expect(compiled).toBe(0);
      // The garbage collector may give back what earlier tests left; nothing is added.
      expect(Math.max(...totals)).toBeLessThanOrEqual(totals[0]!);
    }
    expect(await state.position.item()).toBe(204);
    expect(await model.kvCache!.position.item()).toBe(204);
  });

  test("the mechanism: steps equal the whole, with masked keys and shared heads", async () => {
    const attention = new CumulativeLinearAttention({ scale: 0.3 });
    const [q, k, v] = [randn([2, 4, 6, 3]), randn([2, 2, 6, 3]), randn([2, 2, 6, 5])];
    const keyMask = padding().logicalNot();
    const whole = attention.forward(q, k, v, { isCausal: true, keyMask });
    for (const parts of [[1, 1, 1, 1, 1, 1], [4, 2], [6]]) {
      const state = attention.initState({ batch: 2, heads: 2, headDim: 3, valueDim: 5 });
      const outputs: Tensor[] = [];
      let start = 0;
      for (const length of parts) {
        const part = (x: Tensor): Tensor => x.narrow(2, start, length);
        const mask = keyMask.narrow(1, start, length);
        outputs.push(
          await attention.step(part(q), part(k), part(v), state, { keyMask: mask }).realize(),
        );
        start += length;
      }
      await expectClose(cat(outputs, 2), whole, close);
      expect(await state.position.item()).toBe(6);
    }
    // By default the factor is made for a length: here 1 / √(3 · 6).
    const scaled = new CumulativeLinearAttention({ length: 6 });
    expect(codeOf(() => new CumulativeLinearAttention({ length: 0 }))).toBe("argument");
    const ratio = 1 / Math.sqrt(3 * 6) / 0.3;
    await expectClose(scaled.forward(q, k, v), attention.forward(q, k, v).mul(ratio), close);
    const state = scaled.initState({ batch: 2, heads: 2, headDim: 3, valueDim: 5 });
    const stepped = await scaled.step(q, k, v, state).realize();
    await expectClose(stepped, scaled.forward(q, k, v, { isCausal: true }), close);
    const dropped = attention.forward(q, k, v, { dropout: 0.5 });
    expect(
      await dropped
        .sub(attention.forward(q, k, v))
        .abs()
        .max()
        .item(),
    ).toBeGreaterThan(0.01);
  });
});

test("states that do not fit are refused", () => {
  const model = encoder();
  const x = zeros([2, 1, 8]);
  const state = model.initState(3);
  expect(() => model.forward(x, { state })).toThrow(
    "the store of the state must be float32 [2, 2, 4, 4], got float32 [3, 2, 4, 4]. Make the state for this batch with initState().",
  );
  const { position } = model.initState(2);
  expect(() => model.forward(x, { state: { position } })).toThrow(
    'a state has a store for every layer, got no "layers.0.store" among position.',
  );
  expect(() => model.forward(x, { state: model.initState(2), useKvCache: true })).toThrow(
    "a state takes the place of the cache",
  );
  const wrong = { ...model.initState(2), position: zeros([]) };
  expect(() => model.forward(x, { state: wrong })).toThrow("must be int32 [], got float32 []");
  const layer = model.layers[0]!;
  expect(() => layer.forward(x, { state: {} as CumulativeState })).toThrow(
    "a state has the tensors store and position, got none",
  );
  expect(() => model.initState(0)).toThrow("batch must be a whole number of at least 1, got 0");
});
