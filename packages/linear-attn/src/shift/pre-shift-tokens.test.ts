import { cat, ones, randn, tensor, type Tensor } from "@x/tensor";
import { Identity } from "@x/tensor/nn";
import { describe, expect, it } from "vitest";
import { fault } from "../../test/faults.js";
import { PreShiftTokens } from "./pre-shift-tokens.js";

const same = new Identity();

describe("PreShiftTokens", () => {
  it("takes each group from its own neighbour", async () => {
    const x = tensor([
      [
        [1, 2, 3, 9],
        [4, 5, 6, 9],
      ],
    ]);
    expect(await new PreShiftTokens([1, 0, -1], same).forward(x).toArray()).toEqual([
      [
        [0, 2, 6, 9],
        [1, 5, 0, 9],
      ],
    ]);
    // There is nothing so far away.
    expect(await new PreShiftTokens([5, -5], same).forward(x).abs().sum().item()).toBe(0);
  });

  it("gives in parts what it gives at once", async () => {
    const layer = new PreShiftTokens([2, 0, 1], same);
    const x = randn([2, 9, 8]);
    const state = layer.initState({ batch: 2, dim: 8 });
    const parts: Tensor[] = [];
    let start = 0;
    for (const length of [1, 4, 1, 3]) {
      parts.push(await layer.forward(x.narrow(1, start, length), { state }).realize());
      start += length;
    }
    expect(await cat(parts, 1).toArray()).toEqual(await layer.forward(x).toArray());
  });

  it("keeps padding out, unless the original is reproduced", async () => {
    const x = randn([1, 4, 2]);
    const inputMask = tensor([[true, false, true, true]]);
    const leaked = async (layer: PreShiftTokens): Promise<number> =>
      layer.forward(x, { inputMask }).narrow(1, 2, 1).at(0, 0, 0).abs().item();
    expect(await leaked(new PreShiftTokens([1, 0], same))).toBe(0);
    expect(await leaked(new PreShiftTokens([1, 0], same, { compat: "reference" }))).toBeGreaterThan(
      0,
    );
  });

  it("rejects what it cannot do", () => {
    expect(() => new PreShiftTokens([], same)).toThrow(
      fault("argument", "shifts.length must be a whole number of at least 1, got 0."),
    );
    expect(() => new PreShiftTokens([1, 0, -1], same).initState({ batch: 1, dim: 6 })).toThrow(
      fault(
        "argument",
        "PreShiftTokens: shifts with a state must be a whole number of at least 0, got -1. Correct it.",
      ),
    );
    const layer = new PreShiftTokens([1, 0], same);
    expect(() => layer.forward(ones([1, 2, 6]), { state: {} })).toThrow(
      fault("shape", "the state must have a tensor shifted.0, float32 [1, 1, 3], got none."),
    );
  });
});
