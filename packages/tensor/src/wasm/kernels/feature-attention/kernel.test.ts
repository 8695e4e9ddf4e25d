import { describe, expect, it } from "vitest";
import {
  disturbedInputs,
  lastKeys,
  projected,
  rowBits,
  rowsOf,
} from "../../../../test/wasm/rows.js";
import {
  choices,
  computeByReference,
  denseData,
  expectLikeReference,
  type KernelRun,
  leaf,
  randomData,
  runKernel,
  type View,
} from "../../../../test/wasm/run-kernel.js";
import { apply, type Attributes, type Node, type Value } from "../../../graph/node.js";
import {
  featureAttentionBackwardOp,
  featureAttentionInputs,
  featureAttentionOp,
} from "../../../ops/feature-attention.js";
import type { LinearAttentionMode } from "../../../ops/linear-attention.js";
import type { DataOf } from "../../../tensor/dtype.js";
import { compareElements } from "../../../testing/index.js";
import { featureAttentionBackwardKernel, featureAttentionKernel } from "./kernel.js";

interface Case {
  readonly map: "exponential" | "random";
  readonly batch: number;
  readonly keyHeads: number;
  readonly group: number;
  readonly n: number;
  readonly m: number;
  readonly d: number;
  readonly features: number;
  readonly e: number;
  readonly mode: LinearAttentionMode;
  readonly keyMask: boolean;
  readonly state: boolean;
  readonly epsilon: number;
}

const simple: Case = {
  map: "random",
  batch: 1,
  keyHeads: 2,
  group: 1,
  n: 100,
  m: 100,
  d: 8,
  features: 12,
  e: 8,
  mode: "causal",
  keyMask: false,
  state: true,
  epsilon: 0.01,
};

function attributesOf({ map, mode, keyMask, state, d, epsilon }: Case): Attributes {
  const isRandom = map === "random";
  const [scale, added] = isRandom ? [d ** -0.25, epsilon] : [1, 0];
  return { map, scale, epsilon: added, mode, keyMask, state };
}

function inputsOf(c: Case): Value[] {
  const { batch, keyHeads, group, n, m, d, e, mode, map } = c;
  const features = map === "random" ? c.features : d;
  const head = [batch, keyHeads];
  return [
    leaf([batch, keyHeads * group, n, d]),
    leaf([...head, m, d]),
    leaf([...head, m, e]),
    ...(map === "random" ? [leaf([features, d])] : []),
    ...(mode === "mask" ? [leaf([n], "int32")] : []),
    ...(c.keyMask ? [leaf([batch, m], "bool")] : []),
    ...(c.state
      ? [[...head, features, e], [...head, features], head, [...head, e], head].map((shape) =>
          leaf(shape),
        )
      : []),
  ];
}

function forwardNode(c: Case): Node {
  return apply(featureAttentionOp, inputsOf(c), attributesOf(c))[0]!.node;
}

function backwardNode(c: Case): Node {
  const { batch, keyHeads, group, n, m, e } = c;
  const rows = [batch, keyHeads * group, n];
  const given = [[...rows, e], rows, rows, [batch, keyHeads, m]].map((shape) => leaf(shape));
  const attributes = { ...attributesOf(c), projectionCotangent: false };
  return apply(featureAttentionBackwardOp, [...inputsOf(c), ...given], attributes)[0]!.node;
}

/** Numbers for the inputs; last visible keys from −1 on, in any order; sums of weights above 0. */
function dataOf(node: Node, { m }: Case, seed: number): DataOf[] {
  const data = node.inputs.map((input, i) => {
    if (input.dtype === "int32") return lastKeys(input.shape[0]!, m, seed);
    const own = randomData(input, seed * 10 + i);
    return input.dtype === "float32" ? Float32Array.from(own, (x) => x / 2) : own;
  });
  const { state } = featureAttentionInputs([...data.keys()], node.attributes);
  for (const i of [state?.keys, state?.count])
    if (i !== undefined) data[i] = Float32Array.from(data[i]!, (x) => x + 1.5);
  return data;
}

/** The data of a forward pass, and what its results and random cotangents add for the backward one. */
function backwardData(
  node: Node,
  c: Case,
  seed: number,
  views: readonly (View | null)[] = [],
): DataOf[] {
  const forward = forwardNode(c);
  const given = dataOf(forward, c, seed);
  const dense = given.map((x, i) => (views[i] ? denseData(node.inputs[i]!, x, views[i]) : x));
  const results = computeByReference(forward, dense);
  const [dy, products] = node.inputs
    .slice(-4)
    .map((input, i) => randomData(input, seed * 10 + 20 + i));
  return [...given, dy!, products!, ...[6, 7].map((i) => Float32Array.from(results[i]!))];
}

function randomCase(seed: number): Case {
  const { upTo, pick } = choices(seed);
  const longest = [3, 30, 80, 200][seed % 4]!;
  const n = upTo(longest);
  // The long ones have one key head, to keep the test short.
  const many = longest < 200 ? 2 : 1;
  const size = (): number => pick(1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 65);
  return {
    map: pick("exponential", "random"),
    batch: upTo(many),
    keyHeads: upTo(many),
    group: pick(1, 1, 1, 2, 3),
    n,
    m: pick(n, upTo(longest)),
    d: size(),
    features: size(),
    e: size(),
    mode: pick<LinearAttentionMode>("causal", "causal", "full", "mask", "mask"),
    keyMask: pick(true, false, false),
    state: pick(true, false),
    epsilon: pick(0, 1e-3, 0.5),
  };
}

const close = { relative: 1e-4, absolute: 1e-4 };

describe("feature attention", () => {
  // Each block of cases is one test: a hundred test titles say less than one.
  for (let first = 1; first <= 160; first += 20) {
    it(`agrees with its definition, random configurations from ${first}`, () => {
      for (let seed = first; seed < first + 20; seed++) {
        const c = randomCase(seed);
        for (const node of [forwardNode(c), backwardNode(c)]) {
          const isForward = node.op === featureAttentionOp;
          const kernel = isForward ? featureAttentionKernel : featureAttentionBackwardKernel;
          const views = seed % 3 === 0 ? node.inputs.map(projected) : [];
          const data = isForward ? dataOf(node, c, seed) : backwardData(node, c, seed, views);
          // Half of the states that can be updated where they are, are.
          const inPlace = isForward && views.length === 0 && seed % 2 === 0;
          const run: KernelRun = { data, views, inPlace };
          try {
            expectLikeReference(kernel, node, run, close);
          } catch (error) {
            throw new Error(`${seed} ${JSON.stringify(c)}`, { cause: error });
          }
        }
      }
    });
  }

  it("agrees with its definition for one token", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const c: Case = { ...randomCase(seed), n: 1, m: 1, mode: "causal", state: true };
      const node = forwardNode(c);
      const views = seed % 3 === 0 ? node.inputs.map(projected) : [];
      const inPlace = seed % 3 === 1;
      const run = { data: dataOf(node, c, seed), views, inPlace };
      expectLikeReference(featureAttentionKernel, node, run, close);
    }
  });

  it("handles lengths of 0", () => {
    for (const mode of ["causal", "full", "mask"] as const) {
      for (const [n, m] of [
        [0, 5],
        [5, 0],
        [0, 0],
      ] as const) {
        const c: Case = { ...simple, n, m, mode };
        const node = forwardNode(c);
        expectLikeReference(featureAttentionKernel, node, { data: dataOf(node, c, 1) }, close);
        const backward = backwardNode(c);
        const run = { data: backwardData(backward, c, 1) };
        expectLikeReference(featureAttentionBackwardKernel, backward, run, close);
      }
    }
  });

  it("stays finite where queries and keys are huge", () => {
    for (const map of ["random", "exponential"] as const) {
      const c: Case = { ...simple, map, state: false };
      const [forward, backward] = [forwardNode(c), backwardNode(c)];
      const data = dataOf(forward, c, 3).map((x, i) =>
        Float32Array.from(x, (own) => (i < 2 ? 60 * own : i === 2 ? 1 : own)),
      );
      const results = runKernel(featureAttentionKernel, forward, { data });
      // Means of ones are 1, unless all weights are too small for a float.
      for (const y of results[0]!) expect([0, 1]).toContain(Math.round(y * 1e5) / 1e5);
      if (map === "random") expect(Math.min(...results[0]!)).toBeCloseTo(1, 5);
      const given = backward.inputs.slice(-4, -2).map((input, i) => randomData(input, i));
      const run = { data: [...data, ...given, ...results.slice(6)] };
      for (const gradient of runKernel(featureAttentionBackwardKernel, backward, run)) {
        expect(gradient.every(Number.isFinite)).toBe(true);
      }
    }
  });

  it("goes on from its state, token by token and chunk by chunk", () => {
    for (const [map, group] of [
      ["random", 1],
      ["exponential", 3],
    ] as const) {
      const whole: Case = { ...simple, map, group, d: 12, features: 19, e: 9 };
      const node = forwardNode(whole);
      const data = dataOf(node, whole, 5) as Float32Array[];
      const [y, ...finals] = runKernel(featureAttentionKernel, node, { data }) as Float32Array[];
      const [others, states] = [data.slice(3, -5), data.slice(-5)];
      let state = states;
      let start = 0;
      for (const length of [1, 1, 7, 1, 40, 33, 16, 1]) {
        const c = { ...whole, n: length, m: length };
        const part = [0, 1, 2].map((i) => {
          const size = node.inputs[i]!.shape[3]!;
          return rowsOf(data[i]!, whole.n, start, length, size);
        });
        const inputs = [...part, ...others, ...state];
        const results = runKernel(featureAttentionKernel, forwardNode(c), { data: inputs });
        expectClose(results[0]!, rowsOf(y!, whole.n, start, length, whole.e));
        state = results.slice(1, 6) as Float32Array[];
        start += length;
      }
      expect(start).toBe(whole.n);
      state.forEach((part, i) => {
        expectClose(part, finals[i]!);
      });
    }
  });
});

function expectClose(actual: DataOf, expected: DataOf): void {
  expect(compareElements(actual, expected, close)).toMatchObject({ isClose: true });
}

describe("what is not visible", () => {
  const cases = (["causal", "mask"] as const).flatMap((mode) =>
    (["exponential", "random"] as const).map((map) => ({ mode, map })),
  );
  const c: Case = { ...simple, keyHeads: 1, n: 77, m: 77, d: 9, features: 11, e: 10 };

  it.each(cases)("has no influence: $mode, $map", ({ mode, map }) => {
    for (const value of [50, NaN, Infinity]) {
      const options: Case = { ...c, mode, map };
      const forward = forwardNode(options);
      const backward = backwardNode(options);
      const data = dataOf(forward, options, 7);
      const masks = featureAttentionInputs(data, forward.attributes).mask;
      const last = (i: number): number => masks?.[i] ?? i;
      const cotangents = backward.inputs.slice(-4, -2).map((input, i) => randomData(input, i));
      /** The bits of y, dq, dk and dv. */
      const run = (own: readonly DataOf[], given: readonly DataOf[]): string[][] => {
        const results = runKernel(featureAttentionKernel, forward, { data: own });
        const inputs = [...own, ...given, ...results.slice(6)];
        const gradients = runKernel(featureAttentionBackwardKernel, backward, { data: inputs });
        const sizes = [c.e, c.d, c.d, c.e];
        return [results[0]!, ...gradients].map((result, i) => rowBits(result, sizes[i]!));
      };
      const [y, dq, dk, dv] = run(data, cotangents);
      for (const t of [0, 1, 31, 32, 33, 64, 76]) {
        // Keys from t on: queries that see none of them must not notice.
        const hidden = (i: number): boolean => last(i) < t;
        const later = disturbedInputs(data, forward, [1, 2], (row) => row >= t, value);
        const [y2, dq2] = run(later, cotangents);
        for (let i = 0; i < c.n; i++) {
          if (!hidden(i)) continue;
          expect(y2![i]).toBe(y![i]);
          expect(dq2![i]).toBe(dq![i]);
        }
        // Queries that see less than key t: gradients of that key and later ones likewise.
        const gone = disturbedInputs(data, forward, [0], hidden, value);
        const others = cotangents.map((x, i) =>
          Float32Array.from(x, (own, j) =>
            hidden(i === 0 ? Math.floor(j / c.e) : j) ? value : own,
          ),
        );
        const [, , dk2, dv2] = run(gone, others);
        for (let j = t; j < c.m; j++) {
          expect(dk2![j]).toBe(dk![j]);
          expect(dv2![j]).toBe(dv![j]);
        }
      }
    }
  });

  it.each(["exponential", "random"] as const)("has no influence: padding, %s", (map) => {
    const options: Case = { ...c, map, keyMask: true };
    const node = forwardNode(options);
    const data = dataOf(node, options, 9);
    const { keyMask } = featureAttentionInputs(data, node.attributes);
    const isPadding = (row: number): boolean => keyMask![row] === 0;
    const wrong = disturbedInputs(data, node, [1, 2], isPadding, NaN);
    const results = [data, wrong].map((own) =>
      runKernel(featureAttentionKernel, node, { data: own }),
    );
    expect(results[1]).toEqual(results[0]);
  });
});
