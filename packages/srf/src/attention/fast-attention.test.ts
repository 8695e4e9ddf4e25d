import { beforeAll, describe, expect, test } from "vitest";
import {
  arange,
  cat,
  grad,
  manualSeed,
  ones,
  profile,
  randn,
  scaledDotProductAttention,
  setDevice,
  tensor,
  where,
  zeros,
  type Tensor,
} from "@x/tensor";
import { forkState } from "@x/tensor/nn";
import { loadSafetensors, saveSafetensors } from "@x/tensor/safetensors";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { softmaxKernel } from "../kernel/softmax-kernel.js";
import type { SrfState } from "../state/srf-state.js";
import { FastAttention, type FastAttentionCall } from "./fast-attention.js";
import { lowMemAttn } from "./low-mem-attn.js";

const close = { relative: 2e-5, relativeTo: "largest" } as const;
const headDim = 3;

/** Bool [2, 7], on the device of the test. */
const someKeys = (): Tensor =>
  tensor([
    [false, true, true, false, true, true, true],
    [true, true, true, true, true, false, false],
  ]);

/** Queries of four heads, keys and values of two, of seven tokens; values are longer. */
async function inputs(): Promise<[Tensor, Tensor, Tensor]> {
  const drawn = [randn([2, 4, 7, 3]), randn([2, 2, 7, 3]), randn([2, 2, 7, 5])];
  return (await Promise.all(drawn.map((x) => x.realize()))) as [Tensor, Tensor, Tensor];
}

/** What is meant, with all pairs of queries and keys at once. */
function definition(
  { projectionMatrix: matrix, epsilon }: FastAttention,
  [query, key, value]: readonly [Tensor, Tensor, Tensor],
  { isCausal = false, keyMask = null }: FastAttentionCall,
): Tensor {
  const scale = headDim ** -0.25;
  const project = (x: Tensor): Tensor => x.mul(scale).matmul(matrix.t());
  const half = (x: Tensor): Tensor =>
    x
      .square()
      .sum(-1, { keepdim: true })
      .mul(scale ** 2 / 2);
  const [k, v] = [key.repeatInterleave(2, 1), value.repeatInterleave(2, 1)];
  const a = project(query)
    .sub(half(query))
    .sub(project(query).amax(-1, { keepdim: true }).detach())
    .exp()
    .add(epsilon);
  const places = arange(7);
  let visible = (isCausal ? places.le(places.unsqueeze(-1)) : places.ge(0)).expand([2, 1, 7, 7]);
  if (keyMask) visible = visible.logicalAnd(keyMask.unsqueeze(1).unsqueeze(1));
  const tops = project(k).amax(-1).unsqueeze(-2);
  const maxima = where(visible, tops, -1e30).amax(-1).detach().unsqueeze(-1).unsqueeze(-1);
  const exponents = project(k).sub(half(k)).unsqueeze(2).sub(maxima);
  const powers = where(visible.unsqueeze(-1), exponents, -1e30).exp().add(epsilon);
  const weights = a.unsqueeze(-2).mul(powers).sum(-1).mul(visible);
  const sums = weights.sum(-1, { keepdim: true });
  return weights.matmul(v).div(sums.maskedFill(sums.eq(0), 1));
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(1);
  });

  describe.each(["fused", "plain"] as const)("%s", (attnFn) => {
    test.each([
      ["all keys", false, false],
      ["causal", true, false],
      ["masked keys", false, true],
      ["causal with masked keys", true, true],
    ])("value and gradients with %s", async (_, isCausal, isMasked) => {
      const call = { isCausal, keyMask: isMasked ? someKeys() : null };
      const attention = new FastAttention({ headDim, nbFeatures: 4 });
      const leaves = await inputs();
      const options = { ...call, attnFn, chunkSize: 3 };
      const weights = await randn([2, 4, 7, 5]).realize();
      const actual = attention.forward(...leaves, options);
      await expectClose(actual, definition(attention, leaves, call), close);
      const gradients = (f: (...x: [Tensor, Tensor, Tensor]) => Tensor): Tensor =>
        cat(
          grad(
            (...x: [Tensor, Tensor, Tensor]) =>
              f(...x)
                .mul(weights)
                .sum(),
            [0, 1, 2],
          )(...leaves).map((x) => x.flatten()),
          0,
        );
      const found = gradients((...x) => attention.forward(...x, options));
      await expectClose(
        found,
        gradients((...x) => definition(attention, x, call)),
        close,
      );
    });
  });

  test("nothing depends on later keys, however large they are", async () => {
    const attention = new FastAttention({ headDim, nbFeatures: 4, causal: true });
    const [q, k, v] = await inputs();
    const late = arange(7).ge(4).unsqueeze(-1);
    for (const attnFn of ["fused", "plain"] as const) {
      const seen = async (key: Tensor, value: Tensor): Promise<unknown> => {
        const y = await attention.forward(q, key, value, { attnFn, chunkSize: 3 }).realize();
        return y.narrow(2, 0, 4).toArray();
      };
      const changed = await seen(where(late, k.mul(300), k), where(late, v.sub(1e4), v));
      expect(changed).toEqual(await seen(k, v));
    }
  });

  test("with compat, keys share the maximum of all of them", async () => {
    const options = { headDim, nbFeatures: 4, causal: true } as const;
    const attention = new FastAttention({ ...options, compat: "reference" });
    const [q, k, v] = await inputs();
    const projection = attention.projectionMatrix;
    const queries = softmaxKernel(q, projection, { isQuery: true }).features;
    const keys = softmaxKernel(k, projection, { isQuery: false }).features;
    const expected = lowMemAttn(queries, keys, v);
    await expectClose(attention.forward(q, k, v), expected, close);
    await expectClose(attention.forward(q, k, v, { attnFn: "plain" }), expected, close);
  });

  test("masked keys have no influence, and a query without keys gets 0", async () => {
    const attention = new FastAttention({ headDim, nbFeatures: 4 });
    const [q, k, v] = await inputs();
    const keyMask = someKeys();
    const hidden = keyMask.logicalNot().unsqueeze(1).unsqueeze(-1);
    const disturbed = [where(hidden, k.mul(300), k), where(hidden, 1e4, v)] as const;
    const nothing = keyMask.logicalAnd(keyMask.logicalNot());
    for (const isCausal of [false, true]) {
      const expected = attention.forward(q, k, v, { keyMask, isCausal });
      const actual = attention.forward(q, ...disturbed, { keyMask, isCausal });
      await expectClose(actual, expected, close);
      const none = attention.forward(q, k, v, { keyMask: nothing, isCausal });
      expect(await none.abs().amax().item()).toBe(0);
    }
  });

  describe("generation", () => {
    const attention = (): FastAttention =>
      new FastAttention({ headDim, nbFeatures: 4, causal: true });
    const part = (x: Tensor, from: number, to: number): Tensor => x.narrow(-2, from, to - from);

    test.each(["parallel", "chunkwise-recurrent", "recurrent"] as const)(
      "a %s prompt and steps give what the whole gives",
      async (form) => {
        const srf = attention();
        const all = await inputs();
        const keyMask = someKeys();
        const whole = await srf.forward(...all, { keyMask }).realize();
        const maskOf = (from: number, to: number): Tensor => keyMask.narrow(1, from, to - from);
        const piece = (from: number, to: number): [Tensor, Tensor, Tensor] =>
          all.map((x) => part(x, from, to)) as [Tensor, Tensor, Tensor];
        const options = { form, chunkSize: 2, keyMask: maskOf(0, 5) };
        const { output, state } = srf.prefill(...piece(0, 5), options);
        await expectClose(output, part(whole, 0, 5), close);
        for (const i of [5, 6]) {
          const y = srf.step(...piece(i, i + 1), state, { keyMask: maskOf(i, i + 1) });
          await expectClose(y, part(whole, i, i + 1), close);
        }
        expect(await state.count.toArray()).toEqual([
          [5, 5],
          [5, 5],
        ]);
      },
    );

    test("a state is forked, saved and carried on", async () => {
      const srf = attention();
      const [q, k, v] = await inputs();
      const { output, state } = srf.prefill(part(q, 0, 4), part(k, 0, 4), part(v, 0, 4));
      await output.realize();
      const fork = forkState(state);
      const saved = await saveSafetensors(state);
      const go = async (from: SrfState): Promise<Float64Array> =>
        Float64Array.from(await srf.step(part(q, 4, 5), part(k, 4, 5), part(v, 4, 5), from).data());
      const expected = await go(state);
      // What was given has moved on, the others have not.
      await expectClose(await go(fork), expected, close);
      const loaded = Object.fromEntries(await loadSafetensors(saved)) as SrfState;
      await expectClose(await go(loaded), expected, close);
      expect((await loaded.count.data())[0]).toBe(5);
    });

    test("compiles nothing after the first steps", async () => {
      const srf = attention();
      const state = srf.initState({ batch: 2, heads: 2 });
      const token = randn([2, 2, 1, 3]);
      const step = async (): Promise<unknown> => srf.step(token, token, token, state).data();
      for (let i = 0; i < 2; i++) await step();
      const { compileCount } = await profile(async () => {
        for (let i = 0; i < 5; i++) await step();
      });
      expect(compileCount).toBe(0);
    });
  });

  test("redraws features by hand and on every call, with the plan of the first", async () => {
    const attention = new FastAttention({ headDim, nbFeatures: 4, causal: true });
    const [q, k, v] = await inputs();
    const numbers = async (): Promise<readonly number[]> => [
      ...(await attention.forward(q, k, v).data()),
    ];
    const first = await numbers();
    expect(await numbers()).toEqual(first);
    const second = await (attention.redraw_(), numbers());
    expect(second).not.toEqual(first);
    attention.redrawOnCall_();
    const seen = [await numbers(), await numbers()];
    const { compileCount } = await profile(async () => seen.push(await numbers()));
    expect(compileCount).toBe(0);
    expect(new Set(seen.map((x) => x.at(-1))).size).toBe(3);
    expect(await (attention.redrawOnCall_(false), numbers())).toEqual(seen[2]);
  });

  test("many features come close to softmax attention, also with other kinds of them", async () => {
    const [q, k, v] = (await inputs()).map((x) => x.mul(0.5)) as [Tensor, Tensor, Tensor];
    const exactly = (query: Tensor): Tensor =>
      scaledDotProductAttention(query, k, v, { isCausal: true, enableGqa: true });
    const errorOf = (y: Tensor): Promise<number> => y.sub(exactly(q)).abs().mean().item();
    const ofEqualWeights = await errorOf(exactly(q.mul(0)));
    for (const features of ["simplex", "orthogonal", "independent"] as const) {
      const attention = new FastAttention({ headDim, nbFeatures: 300, features, epsilon: 0 });
      const error = await errorOf(attention.forward(q, k, v, { isCausal: true }));
      expect(error).toBeLessThan(0.3 * ofEqualWeights);
    }
  });

  test("dropout removes keys for all queries of a head, and keeps the mean", async () => {
    const attention = new FastAttention({ headDim });
    const x = ones([500, 1, 1, 3]);
    const y = attention.forward(x.expand([500, 1, 2, 3]), x, x, { dropout: 0.25 });
    const [kept, rest] = [
      y
        .sub(4 / 3)
        .abs()
        .lt(1e-5),
      y.eq(0),
    ];
    expect(await kept.logicalOr(rest).all().item()).toBe(1);
    expect(await y.select(2, 0).sub(y.select(2, 1)).abs().amax().item()).toBeLessThan(1e-6);
    expect(Math.abs((await y.mean().item()) - 1)).toBeLessThan(0.1);
  });
});

describe("errors", () => {
  const attention = (): FastAttention => new FastAttention({ headDim: 4, causal: true });
  const x = zeros([1, 2, 5, 4]);

  test.each<[string, () => unknown, string]>([
    [
      "argument",
      () => new FastAttention({ headDim: 0 }),
      "FastAttention: headDim must be a whole number of at least 1, got 0. Correct it.",
    ],
    [
      "argument",
      () => new FastAttention({ headDim: 4, features: "other" as "simplex" }),
      'FastAttention: features must be one of "simplex", "orthogonal", "independent", got "other". Choose one of them.',
    ],
    [
      "argument",
      () => new FastAttention({ headDim: 4, compat: "original" as "reference" }),
      'FastAttention: compat must be "reference" or left out, got original. Leave it out.',
    ],
    [
      "shape",
      () => attention().forward(zeros([1, 2, 5, 3]), zeros([1, 2, 5, 3]), x),
      "FastAttention: queries and keys must have the size 4 that features were drawn for, got 3. Set headDim.",
    ],
    [
      "argument",
      () => attention().forward(x, x.narrow(2, 0, 3), x.narrow(2, 0, 3)),
      "FastAttention: a causal call needs a key for every query, got 5 queries and 3 keys. Pass as many keys as queries, or more.",
    ],
    [
      "shape",
      () => attention().forward(x, x, x, { keyMask: ones([1, 4], { dtype: "bool" }) }),
      "FastAttention: the key mask must be bool [1, 5], true where a key takes part, got bool [1, 4]. Compare or reshape it.",
    ],
    [
      "argument",
      () => attention().forward(x, x, x, { attnFn: "flash" as "fused" }),
      'FastAttention: attnFn must be one of "fused", "plain", got "flash". Choose one of them.',
    ],
    [
      "argument",
      () => attention().step(x, x, x, { keys: zeros([1]) } as SrfState),
      "FastAttention: a state has the float32 tensors keyValues, keys, maximum, values, count, got no keyValues. Make it with initState().",
    ],
    [
      "shape",
      () => attention().step(x, x, x, attention().initState({ batch: 3, heads: 2 })),
      "state.keyValues must have the shape [1, 2, 4, 4], got [3, 2, 4, 4].",
    ],
    [
      "shape",
      () =>
        attention().step(x.narrow(2, 0, 1), x, x, attention().initState({ batch: 1, heads: 2 })),
      "FastAttention: a step needs a query for each key, got [1, 2, 1, 4], [1, 2, 5, 4]. Pass as many queries as keys.",
    ],
  ])("%s: %#", (code, body, sentence) => {
    expect(body).toThrow(sentence);
    expect(codeOf(body)).toBe(code);
  });
});
