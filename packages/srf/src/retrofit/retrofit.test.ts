import { beforeAll, describe, expect, test } from "vitest";
import { cat, manualSeed, mseLoss, randn, setDevice, tensor, zeros, type Tensor } from "@x/tensor";
import {
  Dropout,
  Linear,
  Module,
  MultiheadAttention,
  TransformerEncoder,
  TransformerEncoderLayer,
} from "@x/tensor/nn";
import { AdamW } from "@x/tensor/optim";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { retrofit, retrofitModel } from "./retrofit.js";

const close = { relative: 2e-5, relativeTo: "largest" } as const;

/** An attention as others write it, with four heads of three and two key heads. */
class OtherAttention extends Module {
  readonly numHeads = 4;
  readonly dropout = new Dropout(0.2);
  readonly qProj = new Linear(10, 12, { bias: false });
  readonly kProj = new Linear(10, 6, { bias: false });
  readonly vProj = new Linear(10, 10, { bias: false });
  readonly oProj = new Linear(20, 10, { bias: false });
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(2);
  });

  test("keeps the parameters and their names, and comes close to the softmax attention", async () => {
    const trained = new MultiheadAttention(8, 2, { dropout: 0.3 });
    const attention = retrofit(trained, { nbFeatures: 512, epsilon: 0, features: "independent" });
    expect(attention.parameters()).toEqual(trained.parameters());
    expect(Object.keys(attention.stateDict()).sort()).toEqual(
      [...Object.keys(trained.stateDict()), "srf.projection_matrix"].sort(),
    );
    expect([attention.dropout, attention.batchFirst]).toEqual([0.3, false]);
    const x = await randn([6, 2, 8]).mul(0.5).realize();
    const keyPaddingMask = tensor([
      [false, false, false, false, true, true],
      [false, true, false, false, false, false],
    ]);
    for (const call of [{ isCausal: true }, { keyPaddingMask }]) {
      const exact = trained.eval().forward(x, x, x, { ...call, needWeights: false }).output;
      const { output, weights } = attention.eval().forward(x, x, x, call);
      expect(weights).toBeNull();
      expect(await output.sub(exact).abs().amax().item()).toBeLessThan(0.05);
    }
    const unbatched = attention.forward(x.select(1, 0)).output;
    await expectClose(unbatched, attention.forward(x).output.select(1, 0), close);
  });

  test("takes keys and values of other sizes", async () => {
    const trained = new MultiheadAttention(8, 2, { kdim: 5, vdim: 3, batchFirst: true }).eval();
    const attention = retrofit(trained, { nbFeatures: 512, epsilon: 0, features: "independent" });
    const [q, k, v] = [randn([2, 3, 8]).mul(0.5), randn([2, 6, 5]).mul(0.5), randn([2, 6, 3])];
    const exact = trained.forward(q, k, v).output;
    const { output } = attention.eval().forward(q, k, v);
    expect(await output.sub(exact).abs().amax().item()).toBeLessThan(0.05);
  });

  test("a model runs recurrently as it does at once", async () => {
    const layer = new TransformerEncoderLayer({ dModel: 8, nHead: 2, dimFeedforward: 8 });
    const model = new TransformerEncoder(layer, { numLayers: 2 }).eval();
    const attentions = retrofitModel(model, { nbFeatures: 4 });
    expect(model.modules().some((module) => module instanceof MultiheadAttention)).toBe(false);
    const x = await randn([5, 1, 8]).realize();
    const whole = await model.forward(x, { isCausal: true }).realize();
    for (const attention of attentions) attention.state = attention.initState({ batch: 1 });
    const parts: Tensor[] = [];
    for (const [start, length] of [
      [0, 3],
      [3, 1],
      [4, 1],
    ] as const) {
      const y = model.forward(x.narrow(0, start, length), { isCausal: true });
      parts.push(await y.realize());
    }
    await expectClose(cat(parts, 0), whole, close);
  });

  test("takes modules that name their projections otherwise, and shares key heads", async () => {
    const attention = retrofit(new OtherAttention(), { nbFeatures: 4 }).eval();
    expect(attention.keyHeads).toBe(2);
    expect(attention.dropout).toBe(0.2);
    expect(Object.keys(attention.stateDict())).toContain("k_proj.weight");
    const x = await randn([2, 5, 10]).realize();
    const whole = await attention.forward(x, x, x, { isCausal: true }).output.realize();
    const state = attention.initState({ batch: 2 });
    expect(state.keyValues.shape).toEqual([2, 2, 4, 5]);
    const parts: Tensor[] = [];
    for (const start of [0, 1, 2, 3, 4]) {
      const token = x.narrow(1, start, 1);
      const { output } = attention.forward(token, token, token, { isCausal: true, state });
      parts.push(await output.realize());
    }
    await expectClose(cat(parts, 1), whole, close);
  });

  test("a factor of the scores is one of the queries", async () => {
    const trained = new OtherAttention();
    const x = randn([1, 5, 10]);
    const doubled = retrofit(trained, { scoreScale: 2 / Math.sqrt(3) }).eval();
    trained.qProj.weight.assign(trained.qProj.weight.mul(2));
    const other = retrofit(trained).eval();
    other.srf.projectionMatrix.assign(doubled.srf.projectionMatrix);
    const expected = await other.forward(x).output.data();
    trained.qProj.weight.assign(trained.qProj.weight.mul(0.5));
    await expectClose(doubled.forward(x).output, expected, close);
  });

  test("fine-tuning brings it closer to what it replaced", async () => {
    const trained = new MultiheadAttention(8, 2, { batchFirst: true }).eval();
    const x = await randn([4, 6, 8]).mul(2).realize();
    const goal = await trained.forward(x, x, x, { isCausal: true }).output.detach().realize();
    const attention = retrofit(trained.clone(), { nbFeatures: 8 });
    const error = (): Tensor =>
      mseLoss(attention.forward(x, x, x, { isCausal: true }).output, goal);
    const before = await error().item();
    const optimizer = new AdamW(attention.parameters(), { lr: 0.01 });
    for (let i = 0; i < 15; i++) {
      optimizer.zeroGrad();
      error().backward();
      await optimizer.step();
    }
    expect(await error().item()).toBeLessThan(0.5 * before);
  });
});

describe("errors", () => {
  test.each<[string, () => unknown, string]>([
    [
      "argument",
      () => retrofit(new MultiheadAttention(4, 2, { addBiasKv: true })),
      "retrofit: keys that are added to every sequence cannot be kept, got addBiasKv or addZeroAttn. Train without them.",
    ],
    [
      "argument",
      () => retrofit(new Linear(2, 2)),
      "wq, wk, wv, wo, got Linear. Name its projections so.",
    ],
    [
      "argument",
      () => retrofit(new OtherAttention(), { heads: 5 }),
      "retrofit: headDim must be a whole number of at least 1, got 2.4. Correct it.",
    ],
    [
      "argument",
      () => retrofitModel(new MultiheadAttention(4, 2)),
      "retrofitModel: the model must contain an attention to replace, got none in MultiheadAttention. Pass one that matches to retrofit(), or set match.",
    ],
    [
      "argument",
      () =>
        retrofit(new MultiheadAttention(4, 2)).forward(zeros([3, 1, 4]), undefined, undefined, {
          attnMask: zeros([3, 3]),
        }),
      "RetrofittedAttention: scores are never computed, so no mask of them can be applied, got an attnMask. Use isCausal or keyPaddingMask.",
    ],
    [
      "shape",
      () => retrofit(new MultiheadAttention(4, 2)).forward(zeros([4])),
      "RetrofittedAttention: query, key and value must have the axes [length, batch, size] or [length, size], got [4], [4], [4]. Reshape them.",
    ],
  ])("%s: %#", (code, body, sentence) => {
    expect(body).toThrow(sentence);
    expect(codeOf(body)).toBe(code);
  });
});
