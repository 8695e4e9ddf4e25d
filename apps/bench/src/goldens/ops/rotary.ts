/** Rotary embedding in both layouts, and its table. */

import { zeros } from "@x/tensor";
import { RotaryEmbedding, type RotaryLayout } from "@x/tensor/nn";
import type { Output, Runner } from "../subject.js";

/** Outputs `<layout>.y` and `table.sin`, `table.cos`. */
export const rotary: Runner = (subject) => {
  const { settings } = subject;
  const dim = settings.requiredNumber("dim");
  const base = settings.number("base") ?? 10000;
  const outputs: Record<string, Output> = {};
  for (const layout of ["interleaved", "half"] satisfies RotaryLayout[]) {
    const name = `${layout}.x`;
    if (!subject.hasInput(name)) continue;
    outputs[`${layout}.y`] = new RotaryEmbedding(dim, { base, layout }).forward(
      subject.input(name),
    );
  }
  const positions = zeros([settings.requiredNumber("n"), dim]);
  const { sin, cos } = new RotaryEmbedding(dim, { base }).table(positions);
  outputs["table.sin"] = sin;
  outputs["table.cos"] = cos;
  return { outputs };
};
