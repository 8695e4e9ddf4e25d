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
  expectLikeReference,
  type KernelRun,
  leaf,
  randomData,
  runKernel,
} from "../../../../test/wasm/run-kernel.js";
import { apply, type Attributes, type Node, type Value } from "../../../graph/node.js";
import {
  cumulativeLinearAttentionBackwardOp,
  cumulativeLinearAttentionOp,
  type LinearAttentionMode,
} from "../../../ops/linear-attention.js";
import type { DataOf } from "../../../tensor/dtype.js";
import { compareElements } from "../../../testing/index.js";
import {
  cumulativeLinearAttentionBackwardKernel as backwardKernel,
  cumulativeLinearAttentionKernel as forwardKernel,
} from "./kernel.js";

interface Case {
  readonly batch: number;
  readonly keyHeads: number;
  readonly group: number;
  readonly n: number;
  readonly m: number;
  readonly d: number;
  readonly e: number;
  readonly mode: LinearAttentionMode;
  readonly state: boolean;
  readonly final: boolean;
  readonly scale: number;
}

const simple: Case = {
  batch: 1,
  keyHeads: 2,
  group: 1,
  n: 100,
  m: 100,
  d: 8,
  e: 8,
  mode: "causal",
  state: true,
  final: true,
  scale: 0.5,
};

function inputsOf({ batch, keyHeads, group, n, m, d, e, mode, state }: Case): Value[] {
  return [
    leaf([batch, keyHeads * group, n, d]),
    leaf([batch, keyHeads, m, d]),
    leaf([batch, keyHeads, m, e]),
    ...(mode === "mask" ? [leaf([n], "int32")] : []),
    ...(state ? [leaf([batch, keyHeads, d, e])] : []),
  ];
}

function forwardNode(c: Case): Node {
  const attributes: Attributes = { mode: c.mode, scale: c.scale, state: c.state };
  return apply(cumulativeLinearAttentionOp, inputsOf(c), attributes)[0]!.node;
}

function backwardNode(c: Case): Node {
  const { batch, keyHeads, group, n, d, e, mode, scale, state, final } = c;
  const inputs = [
    ...inputsOf(c),
    leaf([batch, keyHeads * group, n, e]),
    ...(final ? [leaf([batch, keyHeads, d, e])] : []),
  ];
  return apply(cumulativeLinearAttentionBackwardOp, inputs, { mode, scale, state, final })[0]!.node;
}

/** Numbers for the inputs; last visible keys from −1 on, in any order. */
function dataOf(node: Node, { m }: Case, seed: number): DataOf[] {
  return node.inputs.map((input, i) =>
    input.dtype === "float32"
      ? randomData(input, seed * 10 + i)
      : lastKeys(input.shape[0]!, m, seed),
  );
}

function randomCase(seed: number): Case {
  const { upTo, pick } = choices(seed);
  const longest = [3, 30, 80, 300][seed % 4]!;
  const n = upTo(longest);
  // The long ones have one key head, to keep the test short.
  const many = longest < 300 ? 2 : 1;
  return {
    batch: upTo(many),
    keyHeads: upTo(many),
    group: pick(1, 1, 1, 2, 3),
    n,
    m: pick(n, upTo(longest)),
    d: pick(1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 65),
    e: pick(1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 65),
    mode: pick<LinearAttentionMode>("causal", "causal", "full", "mask", "mask"),
    state: pick(true, false),
    final: pick(true, false),
    scale: pick(1, 0.37),
  };
}

describe("cumulative linear attention", () => {
  // Each block of cases is one test: a hundred test titles say less than one.
  for (let first = 1; first <= 260; first += 20) {
    it(`agrees with its definition, random configurations from ${first}`, () => {
      for (let seed = first; seed < first + 20; seed++) {
        const c = randomCase(seed);
        const terms = Math.max(c.d, c.e) * Math.max(c.n, c.m) * c.group;
        const tolerance = { relative: 1e-4, absolute: 1e-4 * Math.sqrt(terms) };
        for (const [kernel, node] of [
          [forwardKernel, forwardNode(c)],
          [backwardKernel, backwardNode(c)],
        ] as const) {
          const views = seed % 3 === 0 ? node.inputs.map(projected) : [];
          // Half of the states that can be updated where they are, are.
          const inPlace = kernel === forwardKernel && views.length === 0 && seed % 2 === 0;
          const run: KernelRun = { data: dataOf(node, c, seed), views, inPlace };
          try {
            expectLikeReference(kernel, node, run, tolerance);
          } catch (error) {
            throw new Error(JSON.stringify(c), { cause: error });
          }
        }
      }
    });
  }

  it("handles lengths of 0", () => {
    for (const mode of ["causal", "full", "mask"] as const) {
      for (const [n, m] of [
        [0, 5],
        [5, 0],
        [0, 0],
      ] as const) {
        const c: Case = { ...simple, n, m, mode };
        const forward = forwardNode(c);
        expectLikeReference(forwardKernel, forward, { data: dataOf(forward, c, 1) }, close);
        const backward = backwardNode(c);
        expectLikeReference(backwardKernel, backward, { data: dataOf(backward, c, 1) }, close);
      }
    }
  });

  it("treats a last key out of range as the nearest in range", () => {
    const c: Case = { ...simple, mode: "mask", n: 8, m: 50 };
    const node = forwardNode(c);
    const data = dataOf(node, c, 3);
    const wild = Int32Array.of(-7, 49, 50, 2147483647, -2147483648, 0, 31, 32);
    const tame = Int32Array.of(-1, 49, 49, 49, -1, 0, 31, 32);
    const results = [wild, tame].map((mask) =>
      runKernel(forwardKernel, node, { data: data.map((x, i) => (i === 3 ? mask : x)) }),
    );
    expect(results[0]).toEqual(results[1]);
  });

  it("is linear attention token by token, chunk by chunk, and at once", () => {
    for (const group of [1, 3]) {
      const whole: Case = { ...simple, group, d: 12, e: 19 };
      const node = forwardNode(whole);
      const data = dataOf(node, whole, 5) as Float32Array[];
      const [y, final] = runKernel(forwardKernel, node, { data }) as Float32Array[];
      let state = data[3]!;
      const pieces = [1, 1, 7, 1, 40, 33, 16, 1];
      let start = 0;
      for (const length of pieces) {
        const c = { ...whole, n: length, m: length };
        const part = [0, 1, 2].map((i) =>
          rowsOf(data[i]!, whole.n, start, length, node.inputs[i]!.shape[3]!),
        );
        const results = runKernel(forwardKernel, forwardNode(c), { data: [...part, state] });
        expectClose(results[0]!, rowsOf(y!, whole.n, start, length, whole.e));
        state = results[1] as Float32Array;
        start += length;
      }
      expect(start).toBe(whole.n);
      expectClose(state, final!);
    }
  });
});

const close = { relative: 1e-4, absolute: 1e-3 };

function expectClose(actual: DataOf, expected: DataOf): void {
  expect(compareElements(actual, expected, close)).toMatchObject({ isClose: true });
}

describe("what is not visible", () => {
  const c: Case = { ...simple, batch: 1, keyHeads: 1, n: 77, m: 77, d: 9, e: 10 };

  for (const relaxed of [false, true]) {
    const run = (kernel: typeof forwardKernel, node: Node, data: readonly DataOf[]): DataOf[] => {
      try {
        return runKernel(kernel, node, { data, relaxed });
      } catch (error) {
        if (relaxed && error instanceof WebAssembly.CompileError) return [];
        throw error;
      }
    };

    for (const mode of ["causal", "mask"] as const) {
      for (const value of [5, NaN, Infinity]) {
        it(`has no influence: ${mode}, ${value}${relaxed ? ", relaxed" : ""}`, () => {
          const options: Case = { ...c, mode };
          const forward = forwardNode(options);
          const data = dataOf(forward, options, 7);
          const last = (i: number): number => (mode === "mask" ? data[3]![i]! : i);
          const clean = run(forwardKernel, forward, data);
          if (clean.length === 0) return;
          const before = rowBits(clean[0]!, c.e);
          const backward = backwardNode(options);
          const gradientData = dataOf(backward, options, 7);
          const cotangents = gradientData.length - 2;
          const gradients = run(backwardKernel, backward, gradientData);
          const [dq, dk, dv] = [c.d, c.d, c.e].map((size, i) => rowBits(gradients[i]!, size));

          for (const t of [0, 1, 30, 31, 32, 33, 63, 64, 76]) {
            // Keys from t on: queries that see none of them must not notice.
            const hidden = (i: number): boolean => last(i) < t;
            const later = disturbedInputs(data, forward, [1, 2], (row) => row >= t, value);
            const y = rowBits(run(forwardKernel, forward, later)[0]!, c.e);
            const laterToo = disturbedInputs(
              gradientData,
              backward,
              [1, 2],
              (row) => row >= t,
              value,
            );
            const dq2 = rowBits(run(backwardKernel, backward, laterToo)[0]!, c.d);
            for (let i = 0; i < c.n; i++) {
              if (!hidden(i)) continue;
              expect(y[i]).toBe(before[i]);
              expect(dq2[i]).toBe(dq![i]);
            }
            // Queries that see less than key t: gradients of that key and later ones likewise.
            const gone = disturbedInputs(gradientData, backward, [0, cotangents], hidden, value);
            const changed = run(backwardKernel, backward, gone);
            const dk2 = rowBits(changed[1]!, c.d);
            const dv2 = rowBits(changed[2]!, c.e);
            for (let j = t; j < c.m; j++) {
              expect(dk2[j]).toBe(dk![j]);
              expect(dv2[j]).toBe(dv![j]);
            }
          }
        });
      }
    }
  }
});
