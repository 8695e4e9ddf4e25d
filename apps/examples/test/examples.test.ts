/** Every example runs, at its small size, and does what it promises. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

/** What the example printed, line by line. */
let printed: string[];

beforeEach(() => {
  printed = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => void printed.push(line));
});
afterEach(() => {
  vi.restoreAllMocks();
});

const patience = 120_000;

test(
  "the character model learns more than which character follows which, and writes",
  async () => {
    const { model, markov, written } = await import("../src/character-model.js");
    const [, order1, , order3] = markov as [number, number, number, number];
    expect(order3).toBeLessThan(order1);
    expect(model).toBeLessThan(order1 - 0.4);
    expect(written.length).toBeGreaterThan(20);
  },
  patience,
);

test(
  "sentences that were never seen are translated",
  async () => {
    const { accuracy } = await import("../src/translation.js");
    expect(accuracy).toBeGreaterThan(0.95);
    expect(printed).toContain("cat sees old dog → felo hundo sena vidas");
  },
  patience,
);

test(
  "the forecast is better than the seasonal naive one, and than one that grows",
  async () => {
    const { errors } = await import("../src/forecasting.js");
    expect(errors.model).toBeLessThan(errors.naive / 2);
    expect(errors.model).toBeLessThan(errors.growing);
  },
  patience,
);

test(
  "waves are told apart",
  async () => {
    const { accuracy, f1 } = await import("../src/classification.js");
    expect(accuracy).toBeGreaterThan(0.85);
    expect(f1).toBeGreaterThan(0.85);
  },
  patience,
);

test(
  "a model with attention of its own goes on with a sequence, and sees no further than it",
  async () => {
    const { written, expected, reach } = await import("../src/custom-attention.js");
    expect(written).toEqual(expected);
    expect(reach).toBe(6);
  },
  patience,
);

test(
  "adapters learn, and leave the checkpoint as it was",
  async () => {
    const { losses, ofMerged, ofFrozen } = await import("../src/lora.js");
    expect(losses.at(-1)).toBeLessThan(losses[0]! - 1);
    expect(ofMerged).toBeLessThan(1e-4);
    expect(ofFrozen).toBe(0);
  },
  patience,
);
