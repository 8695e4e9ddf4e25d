import { beforeAll, describe, expect, test } from "vitest";
import {
  cat,
  fromData,
  manualSeed,
  noGrad,
  profile,
  randn,
  scaledDotProductAttention,
  setDevice,
  wasm,
  where,
  arange,
  type Tensor,
} from "@x/tensor";
import { forkState } from "@x/tensor/nn";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { thinformerAttention, ThinformerMechanism, type ThinformerState } from "../index.js";

const close = { relative: 2e-5, absolute: 1e-6, relativeTo: "largest" } as const;

/** Queries, keys and values [batch, heads, length, size]; values of size 3. */
function tokens(length: number, heads = 2, keyHeads = 2): [Tensor, Tensor, Tensor] {
  return [
    randn([2, heads, length, 4]),
    randn([2, keyHeads, length, 4]),
    randn([2, keyHeads, length, 3]),
  ];
}

/** The outputs of steps of these sizes, each computed before the next. */
async function stream(
  attention: ThinformerMechanism,
  [q, k, v]: readonly [Tensor, Tensor, Tensor],
  parts: readonly number[],
  state: ThinformerState,
  keyMask: Tensor | null = null,
): Promise<Tensor> {
  const outputs: Tensor[] = [];
  let start = 0;
  for (const length of parts) {
    // As leaves: a part at another place of a tensor would be another plan.
    const parts = [q, k, v].map((x) => x.narrow(2, start, length).realize());
    const [query, key, value] = await Promise.all(parts);
    const options = { keyMask: keyMask && keyMask.narrow(1, start, length) };
    outputs.push(await attention.step(query!, key!, value!, state, options).realize());
    start += length;
  }
  return cat(outputs, 2);
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(5);
  });

  const small = new ThinformerMechanism({ g: 0, blockSize: 4 });
  const shape = { batch: 2, heads: 2, headDim: 4, valueDim: 3, capacity: 256 };

  test.each([
    ["token by token", 70, new Array<number>(70).fill(1)],
    ["in parts of any size", 90, [3, 1, 4, 2, 17, 1, 9, 30, 4, 4, 15]],
    ["all at once", 90, [90]],
    ["inside of one block", 3, [1, 2]],
    ["with two plans", 40, new Array<number>(40).fill(1)],
  ])("steps give what the whole gives: %s", async (name, length, parts) => {
    const inputs = tokens(length, 4);
    const whole = small.forward(...inputs, { isCausal: true });
    const state = small.initState(shape);
    const twoPlans = name === "with two plans";
    const attention = new ThinformerMechanism({ g: 0, blockSize: 4, twoPlans });
    await expectClose(await stream(attention, inputs, parts, state), whole, close);
    expect(await state.length.item()).toBe(length);
  });

  test("steps are the same where the length is not known", async () => {
    const inputs = tokens(24);
    const whole = small.forward(...inputs, { isCausal: true });
    const state = small.initState(shape);
    const unknown = (): unknown => state.length.assign(state.length.add(0));
    const outputs: Tensor[] = [];
    for (let i = 0; i < 24; i++) {
      const [query, key, value] = inputs.map((x) => x.narrow(2, i, 1));
      unknown();
      outputs.push(small.step(query!, key!, value!, state));
    }
    await expectClose(cat(outputs, 2), whole, close);
  });

  test("padding in the whole and in steps has no influence", async () => {
    const [q, k, v] = tokens(40);
    const keyMask = where(
      arange(40)
        .lt(11)
        .logicalAnd(fromData(Float32Array.of(1, 0), [2, 1]).eq(1)),
      0,
      1,
    ).eq(1);
    const whole = await small.forward(q, k, v, { isCausal: true, keyMask }).realize();
    const state = small.initState(shape);
    const steps = await stream(small, [q, k, v], [7, 1, 12, 20], state, keyMask);
    await expectClose(steps, whole, close);
    const hidden = keyMask.logicalNot().unsqueeze(1).unsqueeze(-1);
    const others = [k, v].map((x) => x.maskedFill(hidden, 50)) as [Tensor, Tensor];
    const again = await small.forward(q, ...others, { isCausal: true, keyMask }).realize();
    expect(await again.sub(whole).abs().amax().item()).toBe(0);
    expect(await whole.narrow(2, 0, 11).narrow(0, 0, 1).abs().sum().item()).toBe(0);
  });

  test.each([true, false])(
    "the other sequences of a batch have no influence, causal: %s",
    async (isCausal) => {
      const inputs = tokens(70);
      const both = small.forward(...inputs, { isCausal });
      const [q, k, v] = inputs.map((x) => x.narrow(0, 1, 1)) as [Tensor, Tensor, Tensor];
      await expectClose(small.forward(q, k, v, { isCausal }), both.narrow(0, 1, 1), close);
    },
  );

  test("nothing that comes later has influence", async () => {
    const [q, k, v] = tokens(50);
    const whole = small.forward(q, k, v, { isCausal: true });
    for (const first of [18, 33]) {
      const isLater = arange(50).ge(first).unsqueeze(1);
      const [key, value] = [k, v].map((x) => where(isLater, x.mul(30).add(1), x));
      const changed = small.forward(q, key!, value!, { isCausal: true });
      const difference = changed.sub(whole).abs().amax([0, 1, 3]);
      const numbers = [...(await difference.data())];
      expect(numbers.slice(0, first).every((x) => x === 0)).toBe(true);
      expect(numbers[first]).toBeGreaterThan(0);
    }
  });

  test("fewer queries stand at the last keys, and short sequences are exact", async () => {
    const [q, k, v] = tokens(30);
    const whole = small.forward(q, k, v, { isCausal: true });
    const last = small.forward(q.narrow(2, 23, 7), k, v, { isCausal: true });
    await expectClose(last, whole.narrow(2, 23, 7), close);
    const exact = scaledDotProductAttention(q, k, v, { isCausal: true });
    const large = thinformerAttention({ g: 1, blockSize: 64 });
    await expectClose(large.forward(q, k, v, { isCausal: true }), exact, close);
  });

  test("gradients are those of attention to the chosen keys", async () => {
    const [q, k] = [0, 1].map(() => randn([2, 2, 24, 4], { requiresGrad: true })) as [
      Tensor,
      Tensor,
    ];
    const v = randn([2, 2, 24, 3], { requiresGrad: true });
    small.forward(q, k, v, { isCausal: true }).sum().backward();
    // Weights sum to 1, so the gradients of values sum to the number of queries.
    expect(await v.grad!.sum().item()).toBeCloseTo(2 * 2 * 24 * 3, 3);
    expect(await k.grad!.abs().sum().item()).toBeGreaterThan(0);
    expect(await q.grad!.abs().sum().item()).toBeGreaterThan(0);
  });
});

describe("decoding", () => {
  beforeAll(() => {
    setDevice(devices.at(-1)![1]);
    manualSeed(1);
  });

  test.each([
    ["one plan", 1, false],
    ["two plans", 2, true],
  ])("with %s compiles nothing after step %i", async (_name, first, twoPlans) => {
    const attention = new ThinformerMechanism({ g: 0, blockSize: 4, twoPlans });
    const sizes = { batch: 1, heads: 1, headDim: 4, capacity: 4096 };
    const state = attention.initState(sizes);
    const step = (): Promise<Tensor> => {
      const token = randn([1, 1, 1, 4]);
      return noGrad(() => attention.step(token, token, token, state)).realize();
    };
    for (let i = 0; i < first; i++) await step();
    const { compileCount } = await profile(async () => {
      for (let i = 0; i < 80; i++) await step();
    });
    expect(compileCount).toBe(0);
  });

  test("a state branches, and its size grows with the root of the capacity", async () => {
    const attention = thinformerAttention({ g: 0, blockSize: 4 });
    const sizes = { batch: 1, heads: 1, headDim: 4 };
    const entries = [1024, 4096, 16384].map(
      (capacity) => attention.initState({ ...sizes, capacity }).keys.shape[2]!,
    );
    expect(entries).toEqual([124, 252, 508]);
    const state = attention.initState({ ...sizes, capacity: 1024 });
    const token = randn([1, 1, 30, 4]);
    await attention.step(token, token, token, state).realize();
    const branch = forkState(state);
    const next = token.narrow(2, 0, 1);
    const y = await attention.step(next, next, next, state).realize();
    await expectClose(attention.step(next, next, next, branch), y, close);
  });
});

test("a smooth past is represented well, and better by larger coresets", async () => {
  setDevice(wasm());
  const errors: number[] = [];
  for (const g of [0, 2]) {
    manualSeed(8);
    const waves = arange(4)
      .add(1)
      .mul((2 * Math.PI) / 1024);
    const angle = arange(1024).unsqueeze(1).mul(waves);
    const basis = cat([angle.sin(), angle.cos()], 1);
    const inputs = [0, 1, 2].map(() =>
      basis
        .matmul(randn([1, 2, 8, 32]))
        .div(2)
        .realize(),
    );
    const [q, k, v] = (await Promise.all(inputs)) as [Tensor, Tensor, Tensor];
    const exact = scaledDotProductAttention(q, k, v, { isCausal: true });
    const y = new ThinformerMechanism({ g, blockSize: 64 }).forward(q, k, v, { isCausal: true });
    errors.push(await y.sub(exact).norm().div(exact.norm()).item());
  }
  expect(errors[0]).toBeLessThan(0.05);
  expect(errors[1]).toBeLessThan(errors[0]! / 2);
});

test.each([
  [1, 0, 4],
  [255, 0, 4],
  [256, 1, 16],
  [1024, 2, 64],
  [4096, 2, 256],
  [1e6, 2, 256],
])("blocks for a length of %d", (length, g, blockSize) => {
  const entries = (attention: ThinformerMechanism): number[] =>
    [64, 1024, 16384].map((capacity) => {
      const { keys } = attention.initState({ batch: 1, heads: 1, headDim: 1, capacity });
      return keys.shape[2]!;
    });
  expect(entries(thinformerAttention({ length }))).toEqual(
    entries(thinformerAttention({ g, blockSize })),
  );
  // Blocks grow where the other choice needs it.
  expect(entries(thinformerAttention({ length, g: 4 }))).toEqual(
    entries(thinformerAttention({ g: 4, blockSize: 4 ** 5 })),
  );
});

test("wrong options and states are refused", () => {
  setDevice(devices.at(-1)![1]);
  expect(codeOf(() => new ThinformerMechanism({ blockSize: 32 }))).toBe("argument");
  expect(codeOf(() => new ThinformerMechanism({ g: 2, blockSize: 16 }))).toBe("argument");
  expect(codeOf(() => new ThinformerMechanism({ scale: 0 }))).toBe("argument");
  expect(codeOf(() => new ThinformerMechanism({ length: 0 }))).toBe("argument");
  expect(codeOf(() => new ThinformerMechanism({ seed: 2 ** 32 }))).toBe("argument");
  const attention = new ThinformerMechanism({ g: 0, blockSize: 4 });
  const state = attention.initState({ batch: 1, heads: 1, headDim: 4, capacity: 4 });
  const x = randn([1, 1, 5, 4]);
  expect(codeOf(() => attention.step(x, x, x, state))).toBe("argument");
  expect(codeOf(() => attention.step(x.narrow(2, 0, 1), x, x, state))).toBe("shape");
  expect(
    codeOf(() => attention.forward(x, x.narrow(2, 0, 4), x.narrow(2, 0, 4), { isCausal: true })),
  ).toBe("argument");
});
