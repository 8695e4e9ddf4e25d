import { tensor } from "@x/tensor";
import { Embedding, LayerNorm, Linear, Module, Parameter } from "@x/tensor/nn";
import { AdamW, ExponentialLR } from "@x/tensor/optim";
import { expect, test } from "vitest";
import { decayGroups, makeSchedule, type Schedule } from "./optimization.js";

test("matrices decay; embeddings, norms and vectors do not", () => {
  class Named extends Module {
    readonly tokenEmbedding = new Embedding(6, 4);
    readonly positionTable = new Parameter(tensor([[1, 2]]));
    readonly linear = new Linear(4, 4);
    readonly norm = new LayerNorm(4);
    readonly frozen = new Linear(4, 4).requiresGrad(false);
    /** Tied: the same matrix again. */
    readonly head = { weight: this.tokenEmbedding.weight };
  }
  const model = new Named();
  const names = new Map(model.namedParameters().map(([name, parameter]) => [parameter, name]));
  const groups = decayGroups(model, 0.1);
  expect(groups.map(({ weightDecay }) => weightDecay)).toEqual([0.1, 0]);
  expect(groups.map(({ params }) => params.map((parameter) => names.get(parameter)))).toEqual([
    ["linear.weight"],
    ["position_table", "token_embedding.weight", "linear.bias", "norm.weight", "norm.bias"],
  ]);
});

test.each<[Schedule, readonly number[]]>([
  ["constant", [1, 1, 1, 1, 1]],
  [{ name: "constant", warmupSteps: 2 }, [0, 0.5, 1, 1, 1]],
  [{ name: "linear", warmupSteps: 1, endFactor: 0.5 }, [0, 1, 0.8333, 0.6667, 0.5]],
  ["linear", [1, 0.775, 0.55, 0.325, 0.1]],
  [{ endFactor: 0 }, [1, 0.8536, 0.5, 0.1464, 0]],
  [(optimizer) => new ExponentialLR(optimizer, { gamma: 0.5 }), [1, 0.5, 0.25, 0.125, 0.0625]],
])("the schedule %j gives the rates %j", (schedule, expected) => {
  const optimizer = new AdamW([new Parameter(tensor([1]))], { lr: 1 });
  const made = makeSchedule(schedule, optimizer, 4);
  const rates = expected.map(() => {
    const [rate] = made.currentRates();
    made.step();
    return Number(rate!.toFixed(4));
  });
  expect(rates).toEqual(expected);
});
