import { describe, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { reference } from "../reference/device.js";
import { checkGradients, expectClose, largestError, randomNumbers } from "../testing/index.js";
import { referenceData } from "../testing/reference-data.js";
import { cat, where } from "./joining.js";
import { fromData, ones, tensor, zeros } from "./creation.js";
import {
  emptyFeatureAttentionState,
  featureAttention,
  type FeatureAttentionOptions,
} from "./feature-attention.js";
import type { Shape } from "./shape.js";
import type { Tensor } from "./tensor.js";

setDevice(reference());

let seed = 1;
function random(shape: Shape, size = 1): Tensor {
  const draw = randomNumbers(seed++);
  const count = shape.reduce((a, b) => a * b, 1);
  return fromData(
    Float32Array.from({ length: count }, () => size * (2 * draw() - 1)),
    shape,
  );
}

interface Case {
  readonly name: string;
  readonly map: "exponential" | "random";
  readonly n: number;
  readonly m: number;
  readonly group?: number;
  readonly options?: Omit<FeatureAttentionOptions, "features">;
  readonly epsilon?: number;
}

function inputsOf({ n, m, group = 1 }: Pick<Case, "n" | "m" | "group">): [Tensor, Tensor, Tensor] {
  return [random([2, 2 * group, n, 3], 2), random([2, 2, m, 3], 2), random([2, 2, m, 4])];
}

function featuresOf({ map, epsilon = 0.01 }: Case): FeatureAttentionOptions["features"] {
  return map === "exponential" ? map : { projection: random([5, 3]), epsilon };
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, x, i) => sum + x * b[i]!, 0);

/** The formula, query by query, in float64. */
async function formula(
  [query, key, value]: readonly [Tensor, Tensor, Tensor],
  { features, causal, mask, keyMask }: FeatureAttentionOptions,
): Promise<number[]> {
  const [batch, heads, n, d] = query.shape as [number, number, number, number];
  const [, keyHeads, m] = key.shape as [number, number, number];
  const e = value.shape[3]!;
  const [q, k, v] = [await query.data(), await key.data(), await value.data()];
  const last = mask ? await mask.data() : null;
  const taken = keyMask ? await keyMask.data() : null;
  const isRandom = features !== "exponential";
  const epsilon = isRandom ? (features.epsilon ?? 1e-4) : 0;
  const scale = isRandom ? (features.scale ?? d ** -0.25) : 1;
  const rows = isRandom ? ((await features.projection.toArray()) as number[][]) : null;
  /** The logarithms of features, and their maximum before the norm is taken off. */
  const logits = (x: ArrayLike<number>): [number[], number] => {
    const own = Array.from(x, (number) => number * scale);
    const products = rows ? rows.map((row) => dot(row, own)) : own;
    const half = rows ? dot(own, own) / 2 : 0;
    return [products.map((product) => product - half), Math.max(...products)];
  };
  const result: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const keyHead = b * keyHeads + Math.floor((h * keyHeads) / heads);
      for (let i = 0; i < n; i++) {
        const end = last ? last[i]! : causal === true ? i + m - n : m - 1;
        const seen = Array.from({ length: m }, (_, j) => j).filter(
          (j) => j <= end && (!taken || taken[b * m + j] === 1),
        );
        const at = ((b * heads + h) * n + i) * d;
        const [own, most] = logits(q.subarray(at, at + d));
        let a = own.map((x) => Math.exp(x - most) + epsilon);
        if (!isRandom) a = a.map((x) => x / a.reduce((p, r) => p + r));
        const keys = seen.map((j) =>
          logits(k.subarray((keyHead * m + j) * d, (keyHead * m + j + 1) * d)),
        );
        const largest = Math.max(...keys.map(([, maximum]) => maximum));
        const weights = keys.map(([x]) =>
          dot(
            a,
            x.map((y) => Math.exp(y - largest) + epsilon),
          ),
        );
        const total = weights.reduce((x, y) => x + y, 0);
        for (let c = 0; c < e; c++) {
          const values = seen.map((j) => v[(keyHead * m + j) * e + c]!);
          result.push(total === 0 ? 0 : dot(weights, values) / total);
        }
      }
    }
  }
  return result;
}

const someKeys = (m: number): Tensor =>
  fromData(
    Uint8Array.from({ length: 2 * m }, (_, i) => (i % 3 === 0 || i === m + 1 ? 0 : 1)),
    [2, m],
    { dtype: "bool" },
  );
const last = (...keys: number[]): Tensor => tensor(keys, { dtype: "int32" });

const cases: readonly Omit<Case, "map">[] = [
  { name: "full", n: 3, m: 5 },
  { name: "causal", n: 6, m: 6, options: { causal: true } },
  { name: "causal over several blocks", n: 260, m: 260, group: 2, options: { causal: true } },
  { name: "causal, more keys", n: 4, m: 7, options: { causal: true } },
  { name: "causal, more queries", n: 7, m: 4, group: 2, options: { causal: true } },
  { name: "with a mask", n: 4, m: 4, options: { mask: last(2, -1, 0, 3) } },
  { name: "with a blind spot", n: 6, m: 6, group: 3, options: { mask: last(-1, -1, 1, 1, 3, 3) } },
  { name: "with padding", n: 6, m: 6, options: { causal: true, keyMask: someKeys(6) } },
  { name: "full with padding", n: 2, m: 6, options: { keyMask: someKeys(6) } },
  { name: "large epsilon", n: 5, m: 5, options: { causal: true }, epsilon: 0.7 },
];

describe.each(["exponential", "random"] as const)("%s features", (map) => {
  test.each(cases)("agree with the formula: $name", async (one) => {
    const inputs = inputsOf(one);
    const options = { ...one.options, features: featuresOf({ ...one, map }) };
    const { output, state } = featureAttention(...inputs, options);
    const expected = await formula(inputs, options);
    await expectClose(await referenceData(output), expected, { relative: 1e-10, absolute: 1e-12 });
    expect(output.requiresGrad || state.keys.requiresGrad).toBe(false);
  });

  // Without ε the maxima cancel, so that holding them constant is exact.
  test.each(cases)("have exact gradients: $name", async (one) => {
    if (one.n > 100) return checkOne({ ...one, n: 135, m: 135, map, epsilon: 0 }, 4);
    return checkOne({ ...one, map, epsilon: 0 }, 12);
  });

  async function checkOne(one: Case, samples: number): Promise<void> {
    const inputs = inputsOf(one);
    const features = featuresOf(one);
    const projection = features === "exponential" ? [] : [features.projection];
    await checkGradients(
      (q, k, v, p) =>
        featureAttention(q, k, v, {
          ...one.options,
          features: p ? { projection: p, epsilon: 0 } : "exponential",
        }).output,
      [...inputs, ...projection],
      { samples, relative: 1e-5 },
    );
  }
});

describe.each(["exponential", "random"] as const)("%s features", (map) => {
  const features = map === "exponential" ? map : { projection: random([5, 3]) };

  test("go on from a state exactly", async () => {
    const [q, k, v] = inputsOf({ n: 9, m: 9 });
    const whole = featureAttention(q, k, v, { features, causal: true });
    let state = emptyFeatureAttentionState({
      batch: 2,
      keyHeads: 2,
      features: map === "exponential" ? 3 : 5,
      valueSize: 4,
    });
    const outputs: Tensor[] = [];
    for (const [start, end] of [
      [0, 1],
      [1, 2],
      [2, 6],
      [6, 9],
    ] as const) {
      const piece = (x: Tensor): Tensor => x.slice(null, null, [start, end]);
      const options = { features, causal: true, state };
      const step = featureAttention(piece(q), piece(k), piece(v), options);
      outputs.push(step.output);
      state = step.state;
    }
    const tolerance = { relative: 1e-10, absolute: 1e-10 };
    const close = async (a: Tensor, b: Tensor) =>
      expectClose(await referenceData(a), await referenceData(b), tolerance);
    await close(cat(outputs, 2), whole.output);
    for (const part of ["keyValues", "keys", "maximum", "values", "count"] as const) {
      await close(state[part], whole.state[part]);
    }
  });

  test("stay finite where keys and queries are huge", async () => {
    const [q, k, v] = [
      random([1, 1, 300, 3], 60),
      random([1, 1, 300, 3], 60),
      ones([1, 1, 300, 1]),
    ];
    const { output } = featureAttention(q, k, v, { features, causal: true });
    // Weights are at least ε, or their maximum is 1: means of ones are 1.
    await expectClose(output, new Float32Array(300).fill(1));
  });

  test("padding has no influence, whatever it holds", async () => {
    const [q, k, v] = inputsOf({ n: 6, m: 6 });
    const keyMask = someKeys(6);
    const taken = keyMask.reshape([2, 1, 6, 1]);
    const results = [k, v].map((x) => where(taken, x, NaN));
    const options = { features, causal: true, keyMask };
    const expected = featureAttention(q, k, v, options);
    const { output, state } = featureAttention(q, results[0]!, results[1]!, options);
    expect(await largestError(output, await expected.output.data())).toBe(0);
    expect(await largestError(state.keyValues, await expected.state.keyValues.data())).toBe(0);
    expect(await state.count.toArray()).toEqual([
      [4, 4],
      [3, 3],
    ]);
  });

  test("the future has no influence", async () => {
    const [q, k, v] = inputsOf({ n: 140, m: 140 });
    const { output } = featureAttention(q, k, v, { features, causal: true });
    const before = (x: Tensor): Tensor => x.slice(null, null, [0, 131]);
    const later = (x: Tensor): Tensor => cat([before(x), random([2, 2, 9, x.shape[3]!], 40)], 2);
    const changed = featureAttention(later(q), later(k), later(v), { features, causal: true });
    expect(await largestError(before(changed.output), await before(output).data())).toBe(0);
  });

  test("queries without keys give 0, and the state's if there is one", async () => {
    const [q, k, v] = inputsOf({ n: 2, m: 2 });
    const mask = last(-1, -1);
    const { output, state } = featureAttention(q, k, v, { features, mask });
    expect(await output.abs().max().item()).toBe(0);
    const next = featureAttention(q, k, v, { features, mask, state });
    const expected = featureAttention(q, k, v, { features });
    await expectClose(next.output, await expected.output.data());
    const none = featureAttention(q, k, v, { features, keyMask: zeros([2, 2], { dtype: "bool" }) });
    expect(await none.output.abs().max().item()).toBe(0);
    expect(await none.state.count.sum().item()).toBe(0);
  });
});

test("what does not fit is refused", () => {
  const [q, k, v] = inputsOf({ n: 3, m: 3 });
  const attend = (options: FeatureAttentionOptions) => () => featureAttention(q, k, v, options);
  const features = "exponential";
  const wrong = (message: string, code: string): unknown =>
    expect.objectContaining({ message, code });
  expect(attend({ features: { projection: zeros([5, 4]) } })).toThrow(
    wrong(
      "featureAttention: the projection must have the axes [features, 3], got [5, 4]. Make one for heads of that size.",
      "shape",
    ),
  );
  expect(attend({ features: { projection: zeros([5, 3]), epsilon: -1 } })).toThrow(
    wrong(
      "featureAttention: epsilon must be a finite number of at least 0, got -1. Correct it.",
      "argument",
    ),
  );
  expect(attend({ features, causal: true, mask: last(0, 1, 2) })).toThrow(
    wrong(
      "featureAttention: a mask already says which keys are visible, got a mask together with causal. Pass one of the two.",
      "argument",
    ),
  );
  expect(attend({ features, mask: last(0, 1, 3) })).toThrow(
    wrong(
      "featureAttention: a mask names the last visible of 3 keys, −1 to 2, got 3. Correct the mask.",
      "argument",
    ),
  );
  expect(attend({ features, keyMask: zeros([2, 4], { dtype: "bool" }) })).toThrow(
    wrong(
      "featureAttention: the key mask must be bool [2, 3], true where a key takes part, got bool [2, 4]. Compare or reshape it.",
      "shape",
    ),
  );
  const state = emptyFeatureAttentionState({ batch: 2, keyHeads: 2, features: 4, valueSize: 4 });
  expect(attend({ features, state })).toThrow(
    wrong(
      "featureAttention: state.keyValues must have the shape [2, 2, 3, 4], got [2, 2, 4, 4]. Start from emptyFeatureAttentionState() of these sizes.",
      "shape",
    ),
  );
});
