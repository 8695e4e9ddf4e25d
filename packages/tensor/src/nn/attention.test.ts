import { beforeAll, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import { setDevice } from "../device/current.js";
import { profile } from "../plan/profile.js";
import { manualSeed, randn } from "../random/index.js";
import { loadSafetensors, saveSafetensors } from "../safetensors/index.js";
import { ones, tensor, zeros } from "../tensor/creation.js";
import { noGrad } from "../tensor/grad.js";
import { cat } from "../tensor/joining.js";
import { memory } from "../tensor/realize.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectClose, failureOf } from "../testing/index.js";
import {
  forkState,
  knownLength,
  MultiheadAttention,
  SoftmaxAttention,
  type MultiheadAttentionCall,
  type MultiheadAttentionOptions,
  type SoftmaxState,
} from "./index.js";

const tolerance = { relative: 1e-5, absolute: 2e-6 };

const ignore = (rows: readonly (readonly number[])[]): Tensor =>
  tensor(rows.map((row) => row.map((x) => x === 1)));

/** Attention of one batch element and one head, from the formula, in plain numbers. */
function attendByHand(
  q: number[][],
  k: number[][],
  v: number[][],
  bias: (query: number, key: number) => number,
): { output: number[][]; weights: number[][] } {
  const scale = 1 / Math.sqrt(q[0]!.length);
  const weights = q.map((query, i) => {
    const scores = k.map(
      (key, j) => scale * key.reduce((sum, x, d) => sum + x * query[d]!, 0) + bias(i, j),
    );
    const powers = scores.map((score) => Math.exp(score));
    const total = powers.reduce((sum, power) => sum + power, 0);
    return powers.map((power) => (total === 0 ? 0 : power / total));
  });
  const output = weights.map((row) =>
    v[0]!.map((_, d) => row.reduce((sum, weight, j) => sum + weight * v[j]![d]!, 0)),
  );
  return { output, weights };
}

const linearByHand = (x: number[][], weight: number[][], bias: number[]): number[][] =>
  x.map((row) =>
    weight.map((w, o) => w.reduce((sum, factor, i) => sum + factor * row[i]!, bias[o]!)),
  );

/** A module with one head, computed by hand for one sequence. */
async function byHand(
  module: MultiheadAttention,
  inputs: readonly [Tensor, Tensor, Tensor],
  bias: (query: number, key: number) => number,
): Promise<{ output: number[][]; weights: number[][] }> {
  const numbers = async (x: Tensor): Promise<number[][]> => (await x.toArray()) as number[][];
  const size = module.embedDim;
  const packed = module.inProjWeight;
  const weights =
    packed === null
      ? [module.qProjWeight!, module.kProjWeight!, module.vProjWeight!]
      : packed.chunk(3, 0);
  const biases =
    module.inProjBias === null
      ? new Array<number>(3 * size).fill(0)
      : [...(await module.inProjBias.data())];
  const projected: number[][][] = [];
  for (const [i, input] of inputs.entries()) {
    const rows = await numbers(input);
    const own = biases.slice(i * size, (i + 1) * size);
    projected.push(linearByHand(rows, await numbers(weights[i]!), own));
  }
  if (module.biasK !== null) {
    projected[1]!.push([...(await module.biasK.data())]);
    projected[2]!.push([...(await module.biasV!.data())]);
  }
  if (module.addZeroAttn) {
    for (const part of projected.slice(1)) part.push(new Array<number>(size).fill(0));
  }
  const [q, k, v] = projected as [number[][], number[][], number[][]];
  const attended = attendByHand(q, k, v, bias);
  const out = module.outProj;
  const outBias = out.bias === null ? new Array<number>(size).fill(0) : await out.bias.data();
  const output = linearByHand(attended.output, await numbers(out.weight), [...outBias]);
  return { output, weights: attended.weights };
}

const cases: [
  string,
  MultiheadAttentionOptions,
  () => MultiheadAttentionCall,
  (query: number, key: number) => number,
][] = [
  ["no options", {}, () => ({}), () => 0],
  ["no bias", { bias: false }, () => ({}), () => 0],
  ["other sizes of keys and values", { kdim: 3, vdim: 5 }, () => ({}), () => 0],
  [
    "padding",
    {},
    () => ({ keyPaddingMask: tensor([false, true, false, false]) }),
    (_, key) => (key === 1 ? -Infinity : 0),
  ],
  [
    "a bool mask",
    {},
    () => ({
      attnMask: ignore([
        [0, 1, 0, 0],
        [1, 0, 0, 0],
        [0, 0, 0, 1],
      ]),
    }),
    (query, key) => ([1, 0, 3][query] === key ? -Infinity : 0),
  ],
  [
    "a float mask and padding",
    {},
    () => ({
      attnMask: tensor([
        [0, 1, 0, 0],
        [2, 0, 0, 0],
        [0, 0, 0, -1],
      ]),
      keyPaddingMask: tensor([false, false, true, false]),
    }),
    (query, key) =>
      key === 2
        ? -Infinity
        : ([
            [0, 1, 0, 0],
            [2, 0, 0, 0],
            [0, 0, 0, -1],
          ][query]![key] ?? 0),
  ],
  [
    "float padding",
    {},
    () => ({ keyPaddingMask: tensor([0, 0.5, 0, -1]) }),
    (_, key) => [0, 0.5, 0, -1][key]!,
  ],
  ["causal", {}, () => ({ isCausal: true }), (query, key) => (key > query + 1 ? -Infinity : 0)],
  [
    "a trained key and value, and one of zeros, causal and with padding",
    { addBiasKv: true, addZeroAttn: true },
    () => ({ isCausal: true, keyPaddingMask: tensor([true, false, false, false]) }),
    (query, key) => ((key > query + 1 && key < 4) || key === 0 ? -Infinity : 0),
  ],
];

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(0);
  });

  describe("MultiheadAttention", () => {
    test.each(cases)("%s", async (_name, options, makeCall, bias) => {
      const call = makeCall();
      const module = new MultiheadAttention(6, 1, { ...options, batchFirst: true });
      if (module.inProjBias !== null) module.inProjBias.assign(randn([18]));
      const inputs = [
        await randn([3, 6]).realize(),
        await randn([4, module.kdim]).realize(),
        await randn([4, module.vdim]).realize(),
      ] as [Tensor, Tensor, Tensor];
      const expected = await byHand(module, inputs, bias);
      const { output, weights } = module.forward(...inputs, call);
      await expectClose(output, expected.output.flat(), tolerance);
      await expectClose(weights!, expected.weights.flat(), tolerance);

      // The same with a batch of two, and with the length first.
      const batch = inputs.map((x) => x.expand([2, ...x.shape])) as typeof inputs;
      const { keyPaddingMask } = call;
      const batched = {
        ...call,
        ...(keyPaddingMask && { keyPaddingMask: keyPaddingMask.expand([2, 4]) }),
      };
      const twice = module.forward(...batch, batched);
      expect(twice.weights!.shape.slice(0, 2)).toEqual([2, 3]);
      await expectClose(twice.output.slice(1), expected.output.flat(), tolerance);
      const lengthFirst = new MultiheadAttention(6, 1, options);
      lengthFirst.loadStateDict(module.stateDict());
      const turned = batch.map((x) => x.transpose(0, 1)) as typeof inputs;
      const other = lengthFirst.forward(...turned, batched);
      expect(other.output.shape).toEqual([3, 2, 6]);
      await expectClose(other.output.slice(null, 1), expected.output.flat(), tolerance);
    });

    test("several heads with a mask for each", async () => {
      const module = new MultiheadAttention(4, 2, { batchFirst: true });
      const x = await randn([3, 5, 4]).realize();
      const masks = await randn([6, 5, 5]).gt(1).realize();
      const { output, weights } = module.forward(x, x, x, {
        attnMask: masks,
        averageAttnWeights: false,
      });
      expect(weights!.shape).toEqual([3, 2, 5, 5]);
      const blocked = weights!.mul(masks.reshape([3, 2, 5, 5]).float());
      expect(await blocked.abs().max().item()).toBe(0);
      const whole = module.forward(x, x, x, { attnMask: masks.reshape([3, 2, 5, 5]) });
      await expectClose(whole.output, await output.data(), tolerance);
      await expectClose(whole.weights!, await weights!.mean(1).data(), tolerance);
    });

    test("self-attention is the same with one product as with three", async () => {
      const module = new MultiheadAttention(8, 2);
      const x = await randn([5, 2, 8]).realize();
      const same = module.forward(x);
      const apart = module.forward(x, x.mul(1), x.mul(1));
      await expectClose(same.output, await apart.output.data(), tolerance);
      const shared = x.mul(1);
      const half = module.forward(x, shared, shared);
      await expectClose(half.output, await apart.output.data(), tolerance);
    });

    test("a query that sees nothing gets the bias only", async () => {
      const module = new MultiheadAttention(4, 2);
      const x = ones([3, 4]);
      const { output } = module.forward(x, x, x, {
        keyPaddingMask: ones([3], { dtype: "bool" }),
      });
      await expectClose(output.slice(0), await module.outProj.bias!.data(), tolerance);
    });

    test("dropout acts in training only, and on the weights that are given back", async () => {
      const module = new MultiheadAttention(8, 2, { dropout: 0.5, batchFirst: true });
      const x = await randn([1, 64, 8]).realize();
      const trained = module.forward(x, x, x, { averageAttnWeights: false });
      const weights = await trained.weights!.data();
      const dropped = weights.filter((weight) => weight === 0).length / weights.length;
      expect(Math.abs(dropped - 0.5)).toBeLessThan(0.05);
      module.eval();
      const exact = await module.forward(x).weights!.data();
      expect(exact.every((weight) => weight > 0)).toBe(true);
      const without = module.forward(x, x, x, { needWeights: false });
      expect(without.weights).toBeNull();
      await expectClose(without.output, await module.forward(x).output.data(), tolerance);
    });
  });

  describe("SoftmaxAttention", () => {
    const shape = [2, 4, 9, 6] as const;

    async function inputs(keyHeads: number = 4): Promise<[Tensor, Tensor, Tensor]> {
      const [batch, heads, length, size] = shape;
      return [
        await randn([batch, heads, length, size]).realize(),
        await randn([batch, keyHeads, length, size]).realize(),
        await randn([batch, keyHeads, length, 3]).realize(),
      ];
    }

    const attention = new SoftmaxAttention();

    const newState = (options: { heads?: number; masked?: boolean } = {}): SoftmaxState =>
      attention.initState({
        batch: 2,
        heads: 4,
        headDim: 6,
        valueDim: 3,
        capacity: 12,
        ...options,
      });

    const part = (x: Tensor, from: number, to: number): Tensor => x.narrow(-2, from, to - from);

    /** Steps over parts of the sequence that end at the given places. */
    function decode(
      [q, k, v]: readonly [Tensor, Tensor, Tensor],
      ends: readonly number[],
      state: SoftmaxState,
      keyMask?: Tensor,
    ): Tensor {
      let from = 0;
      const outputs = ends.map((to) => {
        const [a, b, c] = [q, k, v].map((x) => part(x, from, to)) as [Tensor, Tensor, Tensor];
        const mask = keyMask?.narrow(-1, from, to - from);
        from = to;
        return attention.step(a, b, c, state, mask === undefined ? {} : { keyMask: mask });
      });
      return cat(outputs, 2);
    }

    test.each([[[1, 2, 3, 4, 5, 6, 7, 8, 9]], [[9]], [[4, 5, 9]], [[2, 8, 9]]])(
      "steps that end at %j give what the whole sequence gives",
      async (ends) => {
        const all = await inputs();
        const whole = attention.forward(...all, { isCausal: true });
        const state = newState();
        await expectClose(decode(all, ends, state), await whole.data(), tolerance);
        expect(await state.length.item()).toBe(9);
      },
    );

    test("steps with shared heads and padding do too", async () => {
      const all = await inputs(2);
      const keyMask = await randn([2, 9]).gt(-0.5).realize();
      const whole = attention.forward(...all, { isCausal: true, keyMask });
      const state = newState({ heads: 2, masked: true });
      await expectClose(decode(all, [3, 4, 9], state, keyMask), await whole.data(), tolerance);
    });

    test("a step compiles nothing new and takes no more memory", async () => {
      const state = newState();
      const compiled: number[] = [];
      const sizes: number[] = [];
      for (let i = 0; i < 9; i++) {
        const token = (size: number): Tensor =>
          tensor(Float32Array.from({ length: 8 * size }, (_, j) => Math.sin(i + j))).reshape([
            2,
            4,
            1,
            size,
          ]);
        const { compileCount } = await profile(async () => {
          const y = noGrad(() => attention.step(token(6), token(6), token(3), state));
          await y.sum().item();
        });
        compiled.push(compileCount);
        sizes.push(memory().plans);
      }
      expect(compiled.slice(1)).toEqual(new Array(8).fill(0));
      expect(new Set(sizes.slice(1)).size).toBe(1);
    });

    test("a step extends the cache where it is", async () => {
      const state = attention.initState({ batch: 1, heads: 2, headDim: 8, capacity: 20_000 });
      const before = memory().plans;
      const token = await randn([1, 2, 1, 8]).realize();
      await attention.step(token, token, token, state).sum().item();
      // The cache takes 2.6 MB; a copy of it would show.
      expect(memory().plans - before).toBeLessThan(1e6);
      expect(await state.keys.narrow(2, 0, 1).data()).toEqual(await token.data());
    });

    test("a forked state goes its own way, a saved one goes on", async () => {
      const all = await inputs();
      const state = newState();
      decode(all.map((x) => part(x, 0, 5)) as typeof all, [5], state);
      const fork = forkState(state);
      const file = await saveSafetensors(state);

      const rest = all.map((x) => part(x, 5, 9)) as typeof all;
      const expected = await decode(rest, [4], state).data();
      const others = rest.map((x) => x.mul(2)) as typeof all;
      await decode(others, [1, 4], fork).data();
      // The file holds the state that was saved above.
      const saved = Object.fromEntries(await loadSafetensors(file)) as unknown as SoftmaxState;
      await expectClose(decode(rest, [2, 4], saved), expected, tolerance);
      expect(await saved.length.item()).toBe(9);
    });

    test("sequences of a forked state go on from those that are named", async () => {
      const all = await inputs();
      const state = newState();
      decode(all.map((x) => part(x, 0, 5)) as typeof all, [5], state);
      const rows = [1, 0, 1];
      const fork = forkState(state, tensor(rows, { dtype: "int32" }));
      expect(knownLength(fork.length)).toBe(5);
      const rest = all.map((x) => part(x, 5, 9)) as typeof all;
      const expected = decode(rest, [4], state);
      const chosen = (x: Tensor): Tensor =>
        cat(
          rows.map((row) => x.narrow(0, row, 1)),
          0,
        );
      const actual = decode(rest.map(chosen) as typeof all, [1, 4], fork);
      await expectClose(actual, chosen(expected), tolerance);
    });

    test("wrong steps are refused", async () => {
      const [q, k, v] = await inputs();
      const state = newState();
      attention.step(q, k, v, state);
      expect(failureOf(() => attention.step(q, k, v, state))).toBe(
        "argument | SoftmaxAttention: the state has room for 12 tokens, got 18. Make it with a larger capacity.",
      );
      expect(failureOf(() => attention.step(q, k, v, forkState(state)))).toContain("got 18");
      const mask = ones([2, 9], { dtype: "bool" });
      expect(failureOf(() => attention.step(q, k, v, newState(), { keyMask: mask }))).toContain(
        "argument | SoftmaxAttention: a key mask needs a state that was made for masks",
      );
      expect(failureOf(() => attention.step(part(q, 0, 2), k, v, newState()))).toContain(
        "shape | SoftmaxAttention: a step needs a query for each key",
      );
      expect(failureOf(() => attention.forward(q, k, v.slice(0)))).toContain(
        "shape | SoftmaxAttention: queries, keys and values must have the axes",
      );
      expect(failureOf(() => attention.forward(q, k, v, { keyMask: ones([2, 9]) }))).toContain(
        "shape | SoftmaxAttention: the key mask must be bool [2, 9]",
      );
      expect(failureOf(() => new SoftmaxAttention({ scale: NaN }))).toContain("argument |");
      expect(
        failureOf(() => attention.initState({ batch: 1, heads: 1, headDim: 2, capacity: NaN })),
      ).toContain("SoftmaxAttention: capacity must be a whole number of at least 1, got NaN.");
    });

    test("a future token has no influence at all", async () => {
      const [q, k, v] = await inputs();
      const change = zeros([2, 4, 9, 6]).add(0);
      const later = change.dynamicUpdate(2, ones([2, 4, 3, 6]).mul(100), 6);
      const before = await attention.forward(q, k, v, { isCausal: true }).data();
      const after = await attention.forward(q, k.add(later), v, { isCausal: true }).data();
      for (let i = 0; i < before.length; i++) {
        if (Math.floor(i / 3) % 9 < 6) expect(after[i]).toBe(before[i]);
      }
    });
  });
});

const x = ones([2, 3, 6]);
const module = (): MultiheadAttention => new MultiheadAttention(6, 2, { batchFirst: true });

const refused: [string, () => unknown][] = [
  [
    "argument | MultiheadAttention: embedDim must be a multiple of numHeads (4), got 6.",
    () => new MultiheadAttention(6, 4),
  ],
  [
    "argument | MultiheadAttention: embedDim must be a whole number of at least 1, got NaN.",
    () => new MultiheadAttention(NaN, 1),
  ],
  [
    "argument | MultiheadAttention: dropout must lie between 0 and 1, got 1.5.",
    () => new MultiheadAttention(6, 1, { dropout: 1.5 }),
  ],
  [
    "shape | MultiheadAttention: query, key and value must have the axes [batch, length, size] or [length, size]",
    () => module().forward(x, ones([3, 3, 6])),
  ],
  [
    "shape | MultiheadAttention: query, key and value must have the axes",
    () => module().forward(ones([6])),
  ],
  [
    "shape | MultiheadAttention: the last axis of the key must be 6, got [2, 3, 5].",
    () => module().forward(x, ones([2, 3, 5])),
  ],
  [
    "dtype | MultiheadAttention: attnMask must be bool (true = ignore) or floating point (added to the scores), got int32.",
    () => module().forward(x, x, x, { attnMask: zeros([3, 3], { dtype: "int32" }) }),
  ],
  [
    "shape | MultiheadAttention: attnMask must have the shape [3, 3] or, for each head, [4, 3, 3], got [2, 3].",
    () => module().forward(x, x, x, { attnMask: zeros([2, 3]) }),
  ],
  [
    "shape | MultiheadAttention: keyPaddingMask must have the shape [2, 3], got [3].",
    () => module().forward(x, x, x, { keyPaddingMask: zeros([3]) }),
  ],
];

test.each(refused)("refuses: %s", (sentence, body) => {
  expect(failureOf(body)).toContain(sentence);
});
