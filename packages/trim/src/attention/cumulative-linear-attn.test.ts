import { beforeAll, describe, expect, test } from "vitest";
import { manualSeed, randn, reference, setDevice, tensor, zeros, type Tensor } from "@x/tensor";
import { checkGradients, codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { expectGolden, goldenNames, readGolden } from "../../test/goldens.js";
import {
  cumulativeLinearAttn,
  type CumulativeLinearAttnOptions,
} from "./cumulative-linear-attn.js";

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(1);
  });

  test.each(goldenNames("attn_"))("golden %s", async (name) => {
    const golden = await readGolden(name, device);
    const { config, tensors } = golden;
    const input = (key: string): Tensor | null => tensors.get(`input.${key}`) ?? null;
    const result = cumulativeLinearAttn(input("query")!, input("key")!, input("value")!, {
      mask: input("mask"),
      kvCache: input("kv_cache"),
      isCausal: config.is_causal === true,
      scale: config.scale as number | null,
      enableGqa: config.enable_gqa === true,
      compat: "reference",
    });
    expect(result.state.shape).toEqual(result.keyValueStore!.select(-3, -1).shape);
    await expectClose(result.state, result.keyValueStore!.select(-3, -1));
    await expectGolden(golden, { y: result.output, key_value_store: result.keyValueStore });
  });

  test("any number of leading axes, and the state of all keys", async () => {
    for (const leading of [[], [2], [2, 3], [2, 1, 3]]) {
      const q = randn([...leading, 5, 4]);
      const [k, v] = [randn([...leading, 7, 4]), randn([...leading, 7, 3])];
      const full = cumulativeLinearAttn(q, k, v);
      expect(full.keyValueStore).toBeNull();
      const expected = k.transpose(-1, -2).matmul(v);
      expect(full.state.shape).toEqual([...leading, 4, 3]);
      await expectClose(full.state, expected, { relative: 1e-5, relativeTo: "largest" });
      await expectClose(full.output, q.matmul(expected).mul(0.5), { relativeTo: "largest" });
    }
  });

  test("the state is that of all keys, also after a mask; with compat, that of the last query", async () => {
    const [q, k, v] = [randn([2, 3, 4]), randn([2, 6, 4]), randn([2, 6, 5])];
    const kvCache = randn([2, 4, 5]);
    const options = { mask: [5, 0, 2], kvCache };
    const all = k.transpose(-1, -2).matmul(v).add(kvCache);
    const close = { relative: 1e-5, relativeTo: "largest" } as const;
    await expectClose(cumulativeLinearAttn(q, k, v, options).state, all, close);
    const seen = k
      .narrow(1, 0, 3)
      .transpose(-1, -2)
      .matmul(v.narrow(1, 0, 3))
      .add(kvCache);
    const reference = cumulativeLinearAttn(q, k, v, { ...options, compat: "reference" });
    await expectClose(reference.state, seen, close);
  });

  test("needStore gives the sum that each query reads", async () => {
    const [q, k, v] = [randn([2, 4, 3]), randn([2, 6, 3]), randn([2, 6, 5])];
    const kvCache = randn([2, 1, 3, 5]);
    for (const options of [{}, { isCausal: true }, { mask: [3, 5, 0, 2] }]) {
      const settings = { ...options, kvCache, needStore: true, scale: 1 };
      const { output, keyValueStore } = cumulativeLinearAttn(q, k, v, settings);
      expect(keyValueStore!.shape).toEqual([2, 4, 3, 5]);
      const read = q.unsqueeze(-2).matmul(keyValueStore!).squeeze(-2);
      await expectClose(output, read, { relativeTo: "largest" });
    }
  });

  test("shared key heads equal repeated ones", async () => {
    const [q, k, v] = [randn([2, 6, 5, 4]), randn([2, 2, 5, 4]), randn([2, 2, 5, 3])];
    const shared = cumulativeLinearAttn(q, k, v, { isCausal: true, enableGqa: true });
    const [allKeys, allValues] = [k.repeatInterleave(3, 1), v.repeatInterleave(3, 1)];
    const repeated = cumulativeLinearAttn(q, allKeys, allValues, { isCausal: true });
    await expectClose(shared.output, repeated.output, { relativeTo: "largest" });
    expect(shared.state.shape).toEqual([2, 2, 4, 3]);
    await expectClose(shared.state.repeatInterleave(3, 1), repeated.state, {
      relativeTo: "largest",
    });
  });

  test("dropout leaves the state whole, and keeps the mean", async () => {
    const [q, k, v] = [zeros([2000, 2, 4]).add(1), randn([2000, 2, 4]), zeros([2000, 2, 1]).add(1)];
    const dropped = cumulativeLinearAttn(q, k, v, { dropoutP: 0.5, isCausal: true });
    const whole = cumulativeLinearAttn(q, k, v, { isCausal: true });
    await expectClose(dropped.state, whole.state, { relative: 1e-6, relativeTo: "largest" });
    const difference = dropped.output.sub(whole.output);
    expect(await difference.abs().max().item()).toBeGreaterThan(0.1);
    expect(Math.abs(await difference.mean().item())).toBeLessThan(0.1);
  });

  test("a float16 cache and float16 inputs are widened", async () => {
    const half = { dtype: "float16" } as const;
    const x = tensor(
      [
        [1, 2],
        [0.5, 1],
      ],
      half,
    );
    const { output } = cumulativeLinearAttn(x, x, x, {
      scale: 1,
      kvCache: tensor(
        [
          [1, 0],
          [0, 1],
        ],
        half,
      ),
    });
    expect(output.dtype).toBe("float32");
    expect(await output.toArray()).toEqual([
      [7.25, 14.5],
      [3.625, 7.25],
    ]);
  });
});

test("gradients agree with central differences", async () => {
  setDevice(reference());
  manualSeed(2);
  const [q, k, v] = [randn([2, 3, 2]), randn([2, 4, 2]), randn([2, 4, 3])];
  const cache = randn([2, 2, 3]);
  const variants: CumulativeLinearAttnOptions[] = [{}, { isCausal: true }, { mask: [3, 0, 1] }];
  for (const options of variants) {
    for (const compat of [null, "reference"] as const) {
      await checkGradients(
        (query, key, value, kvCache) => {
          const settings = { ...options, kvCache, compat, needStore: true };
          const { output, state, keyValueStore } = cumulativeLinearAttn(
            query,
            key,
            value,
            settings,
          );
          return [output, state, keyValueStore!];
        },
        [q, k, v, cache],
        { samples: 12 },
      );
    }
  }
});

describe("errors", () => {
  const x = zeros([2, 4, 3]);
  const call =
    (options: CumulativeLinearAttnOptions, q = x, k = x, v = x) =>
    () =>
      cumulativeLinearAttn(q, k, v, options);

  test("of the mask", () => {
    expect(call({ mask: [0, 1, 2, 3], isCausal: true })).toThrow(
      "cumulativeLinearAttn: either a mask or isCausal says which keys are visible, got both. Leave one of them out.",
    );
    for (const mask of [[0, 1, 4, 3], tensor([0, 1, 4, 3], { dtype: "int32" })]) {
      expect(call({ mask })).toThrow(
        "cumulativeLinearAttn: the mask must lie between 0 and 3, the last key, got 4 for query 2. Name the last key that each query sees.",
      );
    }
    expect(call({ mask: [0, -1, 2, 3] })).toThrow("between 0 and 3, the last key, got -1");
    expect(call({ mask: [0, NaN, 2, 3] })).toThrow("holds whole numbers, got NaN");
    expect(call({ mask: [0, 1] })).toThrow("got shape [2] for 4 queries");
    expect(call({ mask: tensor([0, 1, 2, 3]) })).toThrow(/got float32. Pass int32/);
    expect(call({ mask: tensor([true, true, true, true]) })).toThrow(/got bool/);
    expect(call({ isCausal: true }, x, zeros([2, 3, 3]), zeros([2, 3, 3]))).toThrow(
      "got 4 queries and 3 keys",
    );
  });

  test("of numbers", () => {
    expect(call({ scale: NaN })).toThrow("scale must be a finite number, got NaN");
    expect(call({ dropoutP: NaN })).toThrow("dropoutP must lie between 0 and 1, got NaN");
    expect(call({ dropoutP: 1.5 })).toThrow("got 1.5");
    expect(call({ compat: "original" as "reference" })).toThrow(
      'cumulativeLinearAttn: compat must be "reference" or left out, got original. Leave it out.',
    );
  });

  test("of shapes and types", () => {
    expect(call({}, zeros([4, 3]))).toThrow("same number of axes");
    expect(call({}, x, zeros([2, 4, 5]))).toThrow("got [2, 4, 3], [2, 4, 5], [2, 4, 3]");
    expect(call({}, zeros([4, 4, 3]))).toThrow("got 4 and 2. Set enableGqa to share key heads.");
    expect(call({ enableGqa: true }, zeros([3, 4, 3]))).toThrow("must be a multiple");
    expect(call({ kvCache: zeros([2, 4, 3]) })).toThrow("kvCache must have shape [2, 3, 3]");
    expect(call({ kvCache: zeros([2, 3, 3], { dtype: "int32" }) })).toThrow("got int32. Cast it.");
    const whole = zeros([2, 4, 3], { dtype: "int32" });
    expect(call({}, whole)).toThrow("must be float32 or float16, got int32");
  });

  test("carry codes", () => {
    expect(codeOf(call({ mask: [9, 9, 9, 9] }))).toBe("argument");
    expect(codeOf(call({ mask: [1] }))).toBe("shape");
    expect(codeOf(call({ mask: tensor([1, 1, 1, 1]) }))).toBe("dtype");
  });
});
