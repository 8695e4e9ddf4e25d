import { describe, expect, it } from "vitest";
import { disturbed, projected, rowBits } from "../../../../test/wasm/rows.js";
import {
  choices,
  computeByReference,
  denseData,
  expectLikeReference,
  type KernelRun,
  leaf,
  randomData,
  runKernel,
} from "../../../../test/wasm/run-kernel.js";
import { apply, type Attributes, type Node, type Op, type Value } from "../../../graph/node.js";
import { madeOps } from "../../../graph/node.js";
import "../../../ops/attention.js";
import type { DataOf } from "../../../tensor/dtype.js";
import {
  scaledDotProductAttentionBackwardKernel as backwardKernel,
  scaledDotProductAttentionKernel as forwardKernel,
} from "./kernel.js";

function opNamed(name: string): Op {
  return [...madeOps()].find((op) => op.name === name)!;
}

interface Case {
  readonly batch: number;
  readonly keyHeads: number;
  readonly group: number;
  readonly n: number;
  readonly m: number;
  readonly d: number;
  readonly e: number;
  readonly causal: boolean;
  readonly window: readonly [number, number] | null;
  readonly scale: number;
  readonly guide: "mask" | "bias" | null;
  readonly guideShape: readonly number[];
  readonly dropout: number;
}

function attributesOf(c: Case): Attributes {
  return {
    causal: c.causal,
    window: c.window,
    scale: c.scale,
    dropout: c.dropout,
    hasMask: c.guide === "mask",
    hasBias: c.guide === "bias",
  };
}

function inputsOf(c: Case, ...rest: readonly Value[]): Value[] {
  const { batch, keyHeads, group, n, m, d, e } = c;
  return [
    leaf([batch, keyHeads * group, n, d]),
    leaf([batch, keyHeads, m, d]),
    leaf([batch, keyHeads, m, e]),
    ...(c.guide === null ? [] : [leaf(c.guideShape, c.guide === "mask" ? "bool" : "float32")]),
    ...rest,
    ...(c.dropout > 0 ? [leaf([], "uint32"), leaf([], "uint32"), leaf([], "uint32")] : []),
  ];
}

function forwardNode(c: Case): Node {
  return apply(opNamed("scaledDotProductAttention"), inputsOf(c), attributesOf(c))[0]!.node;
}

function backwardNode(c: Case): Node {
  const rows = [c.batch, c.keyHeads * c.group, c.n];
  const inputs = inputsOf(c, leaf([...rows, c.e]), leaf(rows), leaf([...rows, c.e]));
  return apply(opNamed("scaledDotProductAttentionBackward"), inputs, attributesOf(c))[0]!.node;
}

/** The data of the forward pass with its results and a cotangent. */
function backwardData(forward: Node, data: readonly DataOf[], seed: number): DataOf[] {
  const results = computeByReference(forward, data).map((x) => Float32Array.from(x));
  const draw = data.filter((x) => x instanceof Uint32Array);
  const cotangent = randomData(forward.outputs[0]!, seed);
  return [...data.slice(0, data.length - draw.length), ...results, cotangent, ...draw];
}

function dataOf(node: Node, seed: number): DataOf[] {
  return node.inputs.map((input, i) =>
    input.dtype === "uint32" ? Uint32Array.of(seed * 7919 + i) : randomData(input, seed * 10 + i),
  );
}

function randomCase(seed: number): Case {
  const { random, upTo, pick } = choices(seed);
  const longest = [3, 30, 80, 300][seed % 4]!;
  // The long ones have one key head, to keep the test short.
  const many = longest < 300 ? 2 : 1;
  const [batch, keyHeads, group] = [upTo(many), upTo(many), pick(1, 1, 2, 3)];
  const n = upTo(longest);
  const m = pick(n, upTo(longest));
  const shape = [batch, keyHeads * group, n, m].map((size) => (random() < 0.3 ? 1 : size));
  return {
    batch,
    keyHeads,
    group,
    n,
    m,
    d: pick(1, 2, 3, 4, 7, 8, 16, 17, 24, 65),
    e: pick(1, 2, 3, 4, 7, 8, 16, 17, 24, 65),
    causal: pick(true, false),
    window: pick(null, null, [upTo(50) - 1, upTo(50) - 1], [upTo(20), -1], [-1, upTo(20)]),
    scale: pick(1, 0.3),
    guide: pick(null, null, "mask", "bias"),
    guideShape: shape.slice(Math.floor(random() * 3)),
    dropout: pick(0, 0, 0, 0.3, 1),
  };
}

const simple: Case = {
  batch: 2,
  keyHeads: 1,
  group: 1,
  n: 5,
  m: 5,
  d: 8,
  e: 8,
  causal: false,
  window: null,
  scale: 0.5,
  guide: null,
  guideShape: [],
  dropout: 0,
};

const close = { relative: 2e-4, absolute: 2e-4 };

describe("scaled dot-product attention", () => {
  for (let first = 1; first <= 260; first += 20) {
    it(`agrees with its definition, random configurations from ${first}`, () => {
      for (let seed = first; seed < first + 20; seed++) {
        const c = randomCase(seed);
        const node = forwardNode(c);
        const backward = backwardNode(c);
        const data = dataOf(node, seed);
        const views = node.inputs.map((input) => (seed % 3 === 0 ? projected(input) : null));
        const dense = data.map((x, i) => (views[i] ? denseData(node.inputs[i]!, x, views[i]) : x));
        // The results of the forward pass, and what is not a view, stay as they are.
        const gradientData = backwardData(node, dense, seed).map((x, i) =>
          views[i] ? data[i]! : x,
        );
        try {
          const run: KernelRun = { data, views };
          expectLikeReference(forwardKernel, node, run, close);
          expectLikeReference(backwardKernel, backward, { data: gradientData, views }, close);
        } catch (error) {
          throw new Error(JSON.stringify(c), { cause: error });
        }
      }
    });
  }

  it("decodes with a long past", () => {
    for (const [n, m, d, e] of [
      [1, 255, 8, 8],
      [1, 300, 33, 35],
      [2, 513, 16, 4],
      [3, 256, 5, 65],
    ] as const) {
      for (const causal of [true, false]) {
        for (const guide of [null, "mask", "bias"] as const) {
          const dropout = guide === null && causal ? 0.4 : 0;
          const c: Case = { ...simple, n, m, d, e, causal, guide, dropout, guideShape: [m] };
          const node = forwardNode(c);
          expectLikeReference(forwardKernel, node, { data: dataOf(node, m) }, close);
        }
      }
    }
  });

  it("handles lengths of 0", () => {
    for (const [n, m] of [
      [0, 5],
      [5, 0],
    ] as const) {
      const c = { ...simple, n, m };
      const forward = forwardNode(c);
      const data = dataOf(forward, 1);
      if (n > 0) expectLikeReference(forwardKernel, forward, { data }, close);
      const gradientData = backwardData(forward, data, 1);
      expectLikeReference(backwardKernel, backwardNode(c), { data: gradientData }, close);
    }
  });
});

describe("what is not visible", () => {
  const [n, d] = [150, 9];

  /** A mask that hides some keys and shows each query its own. */
  const mask = Uint8Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    return (i * 7 + j * 13) % 5 === 0 || i === j ? 1 : 0;
  });
  const forms: readonly { name: string; c: Case; sees: (i: number, j: number) => boolean }[] = [
    { name: "causal", c: { ...simple, causal: true }, sees: (i, j) => j <= i },
    {
      name: "window",
      c: { ...simple, window: [20, 5] },
      sees: (i, j) => j >= i - 20 && j <= i + 5,
    },
    {
      name: "mask",
      c: { ...simple, guide: "mask", guideShape: [n, n] },
      sees: (i, j) => mask[i * n + j] === 1,
    },
  ];

  const replaced = (data: DataOf, row: number, value: number): DataOf =>
    disturbed(data, data.length / n, (own) => own === row, value);
  const bitsOf = (result: DataOf): string[] => rowBits(result, result.length / n);

  for (const { name, c: form, sees } of forms) {
    const c: Case = { ...form, batch: 1, keyHeads: 1, n, m: n, d, e: d };
    for (const value of [5, NaN, Infinity]) {
      it(`has no influence: ${name}, ${value}`, () => {
        const forward = forwardNode(c);
        const backward = backwardNode(c);
        const guide = c.guide === "mask" ? [mask] : [];
        const data = [...dataOf(forward, 3).slice(0, 3), ...guide];
        const gradientData = backwardData(forward, data, 3);
        const before = runKernel(forwardKernel, forward, { data }).map(bitsOf);
        const [dq, dk, dv] = runKernel(backwardKernel, backward, { data: gradientData }).map(
          bitsOf,
        );
        for (const t of [0, 1, 31, 63, 64, 100, 149]) {
          // Key t: whatever it is, queries that do not see it must not notice.
          const replaceKey = (inputs: readonly DataOf[]): DataOf[] =>
            inputs.map((x, i) => (i === 1 || i === 2 ? replaced(x, t, value) : x));
          const after = runKernel(forwardKernel, forward, { data: replaceKey(data) }).map(bitsOf);
          const gradients = { data: replaceKey(gradientData) };
          const dqAfter = bitsOf(runKernel(backwardKernel, backward, gradients)[0]!);
          for (let i = 0; i < n; i++) {
            if (sees(i, t)) continue;
            expect(after[0]![i]).toBe(before[0]![i]);
            expect(after[1]![i]).toBe(before[1]![i]);
            expect(dqAfter[i]).toBe(dq![i]);
          }
          // Query t: the gradients of keys that it does not see must not notice.
          const last = gradientData.length - 1;
          const replaceQuery = gradientData.map((x, i) =>
            i === 0 || i >= last - 2 ? replaced(x, t, value) : x,
          );
          const changed = runKernel(backwardKernel, backward, { data: replaceQuery }).map(bitsOf);
          for (let j = 0; j < n; j++) {
            if (sees(t, j)) continue;
            expect(changed[1]![j]).toBe(dk![j]);
            expect(changed[2]![j]).toBe(dv![j]);
          }
        }
      });
    }
  }
});
