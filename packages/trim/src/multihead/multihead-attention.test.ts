import { beforeAll, describe, expect, test } from "vitest";
import {
  cat,
  manualSeed,
  ones,
  randn,
  setDevice,
  tensor,
  where,
  zeros,
  type Tensor,
} from "@x/tensor";
import { Identity, LayerNorm } from "@x/tensor/nn";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { CumulativeLinearMultiheadAttentionKV } from "./multihead-attention.js";
import type { CumulativeCall, CumulativeMultiheadOptions } from "./options.js";

const close = { relative: 2e-5, absolute: 1e-6, relativeTo: "largest" } as const;

function attention(options: CumulativeMultiheadOptions = {}) {
  const module = new CumulativeLinearMultiheadAttentionKV(8, 2, { batchFirst: true, ...options });
  for (const parameter of module.parameters()) {
    parameter.assign(parameter.add(randn(parameter.shape).mul(0.2)));
  }
  return module.eval();
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(5);
  });

  test("without a batch axis, in both layouts, with padding", async () => {
    const mask = tensor([false, true, false, false, true]);
    for (const batchFirst of [true, false]) {
      const module = attention({ batchFirst, normK: true });
      const [q, kv] = [randn([4, 8]), randn([5, 8])];
      const axis = batchFirst ? 0 : 1;
      const batched = module.forward(q.unsqueeze(axis), kv.unsqueeze(axis), undefined, {
        srcKeyPaddingMask: mask.unsqueeze(0),
        isCausal: true,
      });
      const call = { srcKeyPaddingMask: mask, isCausal: true };
      const y = module.forward(q, kv, kv, call);
      expect(y.shape).toEqual([4, 8]);
      await expectClose(y, batched.squeeze(axis), close);
      const state = module.initState();
      await expectClose(module.forward(q, kv, kv, { ...call, state }), y, close);
      expect(await state.position.item()).toBe(5);
    }
  });

  test("both layouts agree", async () => {
    const first = attention({ normQ: true, normV: true });
    const second = attention({ normQ: true, normV: true, batchFirst: false });
    second.loadStateDict(first.stateDict());
    const x = randn([3, 5, 8]);
    const turned = x.transpose(0, 1);
    const srcKeyPaddingMask = randn([3, 5]).gt(0.5);
    const call = { isCausal: true, srcKeyPaddingMask };
    const y = second.forward(turned, turned, turned, call);
    await expectClose(first.forward(x, x, x, call), y.transpose(0, 1), close);
  });

  test("padding has no influence, whatever stands there", async () => {
    const options = { normK: true, normV: true };
    const srcKeyPaddingMask = tensor([[false, true, false, true]]);
    const hidden = srcKeyPaddingMask.unsqueeze(-1);
    const x = randn([1, 4, 8]);
    const results: Tensor[] = [];
    const module = attention(options);
    for (const other of [
      randn([1, 4, 8]),
      zeros([1, 4, 8]).add(NaN),
      ones([1, 4, 8]).mul(Infinity),
    ]) {
      const kv = where(hidden, other, x);
      const state = module.initState(1);
      results.push(module.forward(x, kv, kv, { srcKeyPaddingMask, state }));
      results.push(state.store);
    }
    const [y, store, ...others] = await Promise.all(results.map(async (result) => result.data()));
    for (const [i, other] of others.entries()) expect(other).toEqual(i % 2 === 0 ? y : store);
    const shown = x.indexSelect(1, tensor([0, 2], { dtype: "int32" }));
    await expectClose(y!, await module.forward(x, shown, shown).data(), close);
  });

  test("with compat, the bias of normK brings padding back", async () => {
    const [ours, original] = [
      attention({ normK: true }),
      attention({ normK: true, compat: "reference" }),
    ];
    original.loadStateDict(ours.stateDict());
    const x = randn([1, 4, 8]);
    const call = { srcKeyPaddingMask: tensor([[false, true, false, true]]) };
    const difference = ours.forward(x, x, x, call).sub(original.forward(x, x, x, call));
    expect(await difference.abs().max().item()).toBeGreaterThan(1e-3);
  });

  test("a cache keeps all keys after a mask; with compat, those that the last query saw", async () => {
    const [ours, original] = [attention(), attention({ compat: "reference" })];
    original.loadStateDict(ours.stateDict());
    const x = randn([2, 3, 8]);
    const call: CumulativeCall = { mask: [2, 1, 0], updateKvCache: true };
    await ours.forward(x, x, x, call).realize();
    await original.forward(x, x, x, call).realize();
    const state = ours.initState(2);
    await ours.forward(x, x, x, { state }).realize();
    await expectClose(ours.kvCache!.store, state.store, close);
    const start = x.narrow(1, 0, 1);
    const first = ours.initState(2);
    await ours.forward(start, start, start, { state: first }).realize();
    await expectClose(original.kvCache!.store, first.store, close);
  });

  test("dropout does not fall on what is cached; with compat it does", async () => {
    const x = randn([2, 3, 8]);
    const call = { isCausal: true, updateKvCache: true };
    for (const compat of [null, "reference"] as const) {
      const module = attention({ dropout: 0.5, compat });
      const quiet = await module.forward(x, x, x, call).data();
      const whole = await module.kvCache!.store.data();
      module.train();
      expect(await module.forward(x, x, x, call).data()).not.toEqual(quiet);
      const cached = await module.kvCache!.store.data();
      const holes = cached.filter((element) => element === 0).length;
      if (compat === null) expect(cached).toEqual(whole);
      else expect(holes).toBeGreaterThan(8);
    }
  });

  test("a trained key and value is seen by every query, and never cached", async () => {
    const module = attention({ addBiasKv: true, normK: true, normV: true });
    const x = randn([2, 3, 8]);
    const plain = attention({ normK: true, normV: true });
    const { bias_k: biasK, bias_v: biasV, ...others } = module.stateDict();
    expect([biasK!.shape, biasV!.shape]).toEqual([
      [1, 1, 8],
      [1, 1, 8],
    ]);
    plain.loadStateDict(others);
    const heads = (row: Tensor, norm: { forward(x: Tensor): Tensor }): Tensor =>
      norm.forward(row.reshape([2, 1, 4]));
    const k = heads(biasK!, module.normK!);
    const store = k.transpose(1, 2).matmul(heads(biasV!, module.normV!)).expand([2, 2, 4, 4]);
    const [state, start] = [module.initState(2), plain.initState(2)];
    start.store.assign(store);
    const call = { mask: [1, 0, 2] };
    const expected = plain.forward(x, x, x, { ...call, state: start });
    await expectClose(module.forward(x, x, x, { ...call, state }), expected, close);
    await expectClose(state.store, start.store.sub(store), { ...close, absolute: 1e-5 });
  });

  test("keys and values of other sizes go through the cache", async () => {
    const module = attention({ kdim: 5, vdim: 3, normQ: true, normK: new LayerNorm(4) });
    const [q, k, v] = [randn([2, 6, 8]), randn([2, 6, 5]), randn([2, 6, 3])];
    const whole = module.forward(q, k, v, { isCausal: true });
    const call = { isCausal: true, useKvCache: true, updateKvCache: true };
    const parts: Tensor[] = [];
    for (const start of [0, 2, 4]) {
      const [a, b, c] = [q, k, v].map((x) => x.narrow(1, start, 2));
      parts.push(await module.forward(a!, b, c, call).realize());
    }
    await expectClose(cat(parts, 1), whole, close);
  });

  test("equal inputs may be one tensor or several", async () => {
    const module = attention({ bias: false, scale: 0.7 });
    const x = randn([2, 3, 8]);
    const copies = [x.mul(1), x.mul(1)] as const;
    const y = module.forward(x);
    await expectClose(module.forward(x, ...copies), y, close);
    await expectClose(module.forward(x, copies[0]), y, close);
    expect(Object.keys(module.stateDict())).toEqual(["in_proj_weight", "out_proj.weight"]);
  });

  test("shared key heads have smaller projections and a smaller cache", async () => {
    const module = new CumulativeLinearMultiheadAttentionKV(12, 6, {
      kvHeads: 2,
      batchFirst: true,
    });
    const shapes = Object.entries(module.stateDict()).map(([name, { shape }]) => [name, shape]);
    expect(Object.fromEntries(shapes)).toMatchObject({
      in_proj_weight: [20, 12],
      in_proj_bias: [20],
    });
    expect(module.initState(3).store.shape).toEqual([3, 2, 2, 2]);
    const x = randn([3, 5, 12]);
    const whole = new CumulativeLinearMultiheadAttentionKV(12, 6, { batchFirst: true });
    const state = module.stateDict();
    const spread = (x: Tensor): Tensor => {
      const [q, k, v] = x.split([12, 4, 4], 0) as [Tensor, Tensor, Tensor];
      const heads = (rows: Tensor): Tensor =>
        rows.unflatten(0, [2, 2]).repeatInterleave(3, 0).flatten(0, 1);
      return cat([q, heads(k), heads(v)], 0);
    };
    whole.loadStateDict({
      ...state,
      in_proj_weight: spread(state.in_proj_weight!),
      in_proj_bias: spread(state.in_proj_bias!),
    });
    const call = { isCausal: true };
    await expectClose(module.forward(x, x, x, call), whole.forward(x, x, x, call), close);
  });
});

describe("errors", () => {
  const make =
    (size: number, heads: number, options: CumulativeMultiheadOptions = {}) =>
    () =>
      new CumulativeLinearMultiheadAttentionKV(size, heads, options);

  test("of the configuration", () => {
    const owner = "CumulativeLinearMultiheadAttentionKV";
    expect(make(10, 4)).toThrow(
      `${owner}: the number of heads must divide embedDim, got 4 heads for 10. Choose a divisor.`,
    );
    expect(make(NaN, 4)).toThrow(
      `${owner}: embedDim must be a whole number of at least 1, got NaN`,
    );
    expect(make(8, 2.5)).toThrow("numHeads must be a whole number of at least 1, got 2.5");
    expect(make(8, 4, { kdim: 0 })).toThrow("kdim must be a whole number of at least 1, got 0");
    expect(make(8, 4, { kvHeads: 3 })).toThrow(
      "kvHeads must divide the number of heads, got 3 for 4",
    );
    expect(make(8, 4, { scale: NaN })).toThrow("scale must be a finite number, got NaN");
    expect(make(8, 4, { dropout: NaN })).toThrow("dropout must lie between 0 and 1, got NaN");
    expect(make(8, 4, { compat: "yes" as "reference" })).toThrow('compat must be "reference"');
    // What the types forbid, JavaScript can still pass.
    const norm = "layer" as unknown as LayerNorm;
    expect(make(8, 4, { normQ: norm })).toThrow("normQ must be a module with forward()");
    expect(codeOf(make(10, 4))).toBe("argument");
    expect(make(8, 4, { normQ: new Identity(), normK: false, normV: null })).not.toThrow();
  });

  test("of calls", () => {
    const module = attention();
    const x = zeros([2, 3, 8]);
    const call = (options: CumulativeCall) => () => module.forward(x, x, x, options);
    expect(call({ mask: [0, 1, 2], isCausal: true })).toThrow("got both");
    expect(call({ mask: [0, 1, 3] })).toThrow("must lie between 0 and 2, the last key, got 3");
    expect(call({ srcKeyPaddingMask: zeros([2, 3]) })).toThrow("must be bool, true for padding");
    expect(call({ srcKeyPaddingMask: zeros([3, 2]).gt(0) })).toThrow(
      "srcKeyPaddingMask must have the shape [2, 3], got [3, 2]. Give one element for each key.",
    );
    expect(codeOf(call({ srcKeyPaddingMask: zeros([2, 3]) }))).toBe("dtype");
    expect(codeOf(call({ srcKeyPaddingMask: zeros([3]).gt(0) }))).toBe("shape");
    expect(() => module.forward(zeros([2, 3, 7]))).toThrow(
      "the last axis of the query must be 8, got [2, 3, 7]",
    );
    expect(() => module.forward(zeros([8]))).toThrow("got [8], [8], [8]. Reshape them");
    expect(() => module.forward(x, zeros([1, 3, 8]))).toThrow("and fit each other");
    expect(() => module.forward(x, x, zeros([2, 4, 8]))).toThrow("and fit each other");
    expect(() => module.forward(zeros([2, 3, 8], { dtype: "int32" }))).toThrow(
      "the query must be float32 or float16, got int32. Cast it.",
    );
  });
});
