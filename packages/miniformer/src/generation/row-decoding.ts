/** Decoding of rows side by side, or of rows that must not share a batch, apart. */

import { cat, fromData, noGrad, type Tensor } from "@x/tensor";
import type { LanguageModel } from "../model/language-model.js";
import { Decoding, type DecodingOptions } from "./decoding.js";

/** Goes through sequences, one a row, token by token: what {@link Decoding} does. */
export type RowDecoding = Pick<Decoding, "logits" | "select" | "pending" | "dispose">;

/**
 * Decoding of prompts in one batch; where padding would change what the model gives, in a batch for each
 * length, so that none is padded.
 */
export function decodingOf(
  model: LanguageModel,
  prompts: readonly (readonly number[])[],
  options: DecodingOptions,
): RowDecoding {
  const lengths = [...new Set(prompts.map(({ length }) => length))];
  const isOne = lengths.length === 1 || model.dependsOnPadding !== true || !options.useCache;
  if (isOne) return new Decoding(model, options);
  const parts = lengths.map(() => new Decoding(model, options));
  const owners = prompts.map(({ length }) => lengths.indexOf(length));
  return new SeparateDecodings(parts, owners, options);
}

/** Several decodings as one: each has some of the rows, in their order. */
class SeparateDecodings implements RowDecoding {
  private readonly parts: readonly Decoding[];
  private readonly options: DecodingOptions;
  /** Which of the parts has each row. */
  private owners: readonly number[];

  constructor(parts: readonly Decoding[], owners: readonly number[], options: DecodingOptions) {
    this.parts = parts;
    this.owners = owners;
    this.options = options;
  }

  get pending(): readonly Tensor[] {
    return this.parts.flatMap(({ pending }) => pending);
  }

  async logits(sequences: readonly (readonly number[])[]): Promise<Tensor> {
    const { parts, owners, options } = this;
    const logits: Tensor[] = [];
    for (const [i, part] of parts.entries()) {
      logits.push(await part.logits(sequences.filter((_, row) => owners[row] === i)));
    }
    const order = parts.flatMap((_, i) => rowsOf(owners, i));
    const places = Int32Array.from(owners, (_, row) => order.indexOf(row));
    const { device } = options;
    return noGrad(() =>
      cat(logits, 0).indexSelect(0, fromData(places, [places.length], { device })),
    );
  }

  async select(rows: readonly number[]): Promise<void> {
    const { parts, owners } = this;
    for (const [i, part] of parts.entries()) {
      const own = rowsOf(owners, i);
      await part.select(rows.filter((row) => owners[row] === i).map((row) => own.indexOf(row)));
    }
    this.owners = rows.map((row) => owners[row]!);
  }

  dispose(): void {
    for (const part of this.parts) part.dispose();
  }
}

/** The rows that a part has, in their order. */
function rowsOf(owners: readonly number[], part: number): number[] {
  return owners.flatMap((owner, row) => (owner === part ? [row] : []));
}
