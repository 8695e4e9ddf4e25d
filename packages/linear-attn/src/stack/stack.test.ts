import { fromData, manualSeed, memory, randn, realize, type Tensor } from "@x/tensor";
import { Module } from "@x/tensor/nn";
import { describe, expect, it } from "vitest";
import { fault } from "../../test/faults.js";
import { SelfAttention } from "../attention/self-attention.js";
import { FeedForward } from "../feedforward/feed-forward.js";
import type { LayerCall } from "./layer.js";
import { PreNorm } from "./pre-norm.js";
import { ReversibleSequence } from "./reversible.js";
import type { LayerPair } from "./route.js";
import { SequentialSequence } from "./sequential.js";

const dim = 16;

function makePairs(depth: number, dropout = 0): LayerPair[] {
  return Array.from({ length: depth }, () => [
    new PreNorm(dim, new SelfAttention(dim, 2, { causal: true, dropout })),
    new PreNorm(dim, new FeedForward(dim, { dropout })),
  ]);
}

/** What a reversible stack computes, with nothing recomputed. */
function plain(stack: ReversibleSequence, x: Tensor): Tensor {
  let [a, b] = [x, x];
  for (const { f, g } of stack.blocks) {
    a = a.add(f.net.forward(b));
    b = b.add(g.net.forward(a));
  }
  return a.add(b).mul(0.5);
}

describe("ReversibleSequence", () => {
  it.each([
    ["in training, with dropout", true, 0.3],
    ["after eval()", false, 0.3],
  ])("has the gradients of a stack that keeps everything: %s", async (_, training, dropout) => {
    manualSeed(7);
    const stack = new ReversibleSequence(makePairs(3, dropout)).train(training);
    const start = (await randn([2, 10, dim]).data()) as Float32Array;
    const cotangent = randn([2, 10, dim]);
    const run = async (forward: (x: Tensor) => Tensor): Promise<Tensor[]> => {
      manualSeed(8);
      stack.zeroGrad();
      const x = fromData(start, [2, 10, dim], { requiresGrad: true });
      const y = forward(x);
      y.mul(cotangent).sum().backward();
      const results = [y, x.grad!, ...stack.parameters().map(({ grad }) => grad!)];
      await realize(...results);
      return Promise.all(results.map((result) => result.mul(1).realize()));
    };
    const expected = await run((x) => plain(stack, x));
    const actual = await run((x) => stack.forward(x));
    for (const [i, tensor] of actual.entries()) {
      const scale = await expected[i]!.abs().max().item();
      const error = await tensor.sub(expected[i]!).abs().max().item();
      expect(error / Math.max(scale, 1e-3)).toBeLessThan(2e-5);
    }
  });

  it("takes the activation memory of depth 2 at depth 24", async () => {
    const measure = async (stack: Module, forward: (x: Tensor) => Tensor): Promise<number> => {
      forward(randn([8, 1024, dim]))
        .square()
        .mean()
        .backward();
      await realize(...stack.parameters().map(({ grad }) => grad!));
      return memory().plans;
    };
    // All plans share one memory: what is measured is the largest so far, and the lists of launches.
    const shallow = new ReversibleSequence(makePairs(2));
    const deep = new ReversibleSequence(makePairs(24));
    const middle = new ReversibleSequence(makePairs(8));
    const few = await measure(shallow, (x) => shallow.forward(x));
    expect(await measure(deep, (x) => deep.forward(x))).toBeLessThan(1.2 * few);
    expect(await measure(middle, (x) => plain(middle, x))).toBeGreaterThan(2 * few);
  });
});

/** Notes the calls that it gets. */
class Noting extends Module {
  readonly calls: LayerCall[] = [];

  forward(x: Tensor, call: LayerCall = {}): Tensor {
    this.calls.push(call);
    return x;
  }
}

describe("SequentialSequence", () => {
  it("adds what each layer gives, and routes what comes with a call", async () => {
    const pairs = [0, 1].map(() => [new Noting(), new Noting()] as const);
    const stack = new SequentialSequence(pairs, {
      argsRoute: {
        inputMask: [
          [true, false],
          [false, true],
        ],
      },
    });
    const x = randn([1, 2, 3]);
    const inputMask = x.gt(0).select(2, 0);
    const y = stack.forward(x, { inputMask, context: x });
    expect(await y.sub(x.mul(16)).abs().max().item()).toBe(0);
    expect(pairs.flat().map(({ calls }) => calls)).toEqual([
      [{ inputMask }],
      [{}],
      [{}],
      [{ inputMask }],
    ]);
  });

  it("rejects a route of another depth", () => {
    expect(() => new SequentialSequence(makePairs(2), { argsRoute: { posEmb: [] } })).toThrow(
      fault("argument", "argsRoute.posEmb.length must be 2, got 0."),
    );
  });
});
