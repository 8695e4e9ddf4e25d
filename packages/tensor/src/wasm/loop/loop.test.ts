import fc from "fast-check";
import { describe, it } from "vitest";
import { interpretLoop } from "../../../test/wasm/interpret-loop.js";
import { LoopMaker, Random } from "../../../test/wasm/random-loop.js";
import { relaxedForms } from "../../../test/wasm/run-vector.js";
import { runLoop } from "../../../test/wasm/run-loop.js";
import type { Limits } from "./strategy.js";

const small: Limits = {
  itemWork: 200,
  itemElements: 100,
  additions: 4,
  columnElements: 200,
  partRows: 3,
};

function same(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b));
}

function checkRandomKernel(seed: number): void {
  const random = new Random(seed);
  const { kernel, slots, scalars } = new LoopMaker(random).make();
  const expected = slots.map((numbers) => [...numbers]);
  interpretLoop(kernel, expected, scalars);
  const runs = [
    { limits: small, shuffle: () => random.next() },
    { limits: small },
    { relaxed: random.pick(relaxedForms) },
  ];
  const atEnd = random.whole(0, slots.length - 1);
  const results = runLoop(kernel, slots, scalars, { ...random.pick(runs), atEnd });
  results.forEach((numbers, slot) => {
    numbers.forEach((x, i) => {
      if (same(x, expected[slot]![i]!)) return;
      throw new Error(
        `slot ${slot}[${i}]: got ${x}, expected ${expected[slot]![i]} in ${JSON.stringify(kernel)}`,
      );
    });
  });
}

describe("random kernels", () => {
  it("do what the interpreter does", () => {
    fc.assert(fc.property(fc.noShrink(fc.integer()), checkRandomKernel), { numRuns: 1500 });
  });
});
