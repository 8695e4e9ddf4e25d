/** Prompts as lists of tokens, and lists of tokens as tensors. */

import { fromData, type Device, Tensor } from "@x/tensor";
import { check, checkNumbers, formatShape } from "@x/tensor/checks";
import type { TransformerConfig } from "../config/transformer-config.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { tokenBelow } from "./options.js";

/**
 * What generation starts from: a text, tokens, or several of either, of any lengths; or an int32 tensor
 * `[length]` or `[batch, length]`.
 */
export type Prompt =
  string | readonly string[] | readonly number[] | readonly (readonly number[])[] | Tensor;

const owner = "generate";

/** Checks prompts, and gives what gives their tokens; those in a tensor are read then. */
export function tokensOfPrompts(
  prompt: Prompt,
  { config, vocabSize }: { config: TransformerConfig; vocabSize: number },
  tokenizer: Tokenizer | null,
): () => number[][] | Promise<number[][]> {
  const finish = (lists: readonly (readonly number[])[]): number[][] =>
    lists.map((list) => {
      const { bosTokenId } = config;
      const tokens = list.length === 0 && bosTokenId !== null ? [bosTokenId] : [...list];
      check(
        tokens.length > 0,
        "argument",
        () =>
          `${owner}: a prompt must have at least one token, got none. Begin with the token that texts begin with.`,
      );
      checkNumbers(owner, tokenBelow(vocabSize), { "the prompt": tokens });
      return tokens;
    });
  if (prompt instanceof Tensor) {
    checkTensor(prompt);
    return async () => finish(await tokensOfTensor(prompt));
  }
  const isSingle =
    typeof prompt === "string" || prompt.length === 0 || typeof prompt[0] === "number";
  // Which kinds of prompts there are is what its type says.
  const parts = (isSingle ? [prompt] : prompt) as readonly (string | readonly number[])[];
  const tokens = finish(
    parts.map((part) => {
      if (typeof part !== "string") return part;
      check(
        tokenizer !== null,
        "argument",
        () => `${owner}: a prompt that is a text needs a tokenizer, got none. Pass tokenizer.`,
      );
      return tokenizer.encode(part);
    }),
  );
  return () => tokens;
}

function checkTensor(prompt: Tensor): void {
  check(
    prompt.dtype === "int32" && (prompt.rank === 1 || prompt.rank === 2) && prompt.shape[0]! > 0,
    "shape",
    () =>
      `${owner}: a prompt that is a tensor must be int32 [length] or [batch, length], got ${prompt.dtype} ${formatShape(prompt.shape)}. Cast or reshape it.`,
  );
}

async function tokensOfTensor(prompt: Tensor): Promise<number[][]> {
  const numbers = await prompt.data();
  const length = prompt.shape.at(-1)!;
  const batch = prompt.rank === 1 ? 1 : prompt.shape[0]!;
  return Array.from({ length: batch }, (_, row) =>
    Array.from(numbers.subarray(row * length, (row + 1) * length)),
  );
}

/** Sequences side by side, of one length: shorter ones are padded. */
export class PaddedSequences {
  /** How long all of them are. */
  readonly length: number;
  private readonly sequences: readonly (readonly number[])[];
  private readonly options: { readonly padTokenId: number; readonly device: Device };
  private readonly side: "left" | "right";

  /** @param multiple the length is a multiple of it */
  constructor(
    sequences: readonly (readonly number[])[],
    options: { readonly padTokenId: number; readonly device: Device },
    { side, multiple = 1 }: { readonly side: "left" | "right"; readonly multiple?: number },
  ) {
    const longest = Math.max(...sequences.map(({ length }) => length));
    this.sequences = sequences;
    this.options = options;
    this.side = side;
    this.length = Math.ceil(longest / multiple) * multiple;
  }

  /** Whether any sequence is padded. */
  get isPadded(): boolean {
    return this.sequences.some(({ length }) => length < this.length);
  }

  /** The tokens of a part, int32 [rows, count]. */
  tokens(start: number, count: number): Tensor {
    const { padTokenId, device } = this.options;
    const data = new Int32Array(this.sequences.length * count);
    this.each(start, count, (place, token) => (data[place] = token ?? padTokenId));
    return fromData(data, [this.sequences.length, count], { device });
  }

  /** Where a part is no padding, bool [rows, count]. */
  mask(start: number, count: number): Tensor {
    const { device } = this.options;
    const data = new Uint8Array(this.sequences.length * count);
    this.each(start, count, (place, token) => (data[place] = token === undefined ? 0 : 1));
    return fromData(data, [this.sequences.length, count], { dtype: "bool", device });
  }

  private each(
    start: number,
    count: number,
    visit: (place: number, token: number | undefined) => void,
  ): void {
    this.sequences.forEach((sequence, row) => {
      const padding = this.side === "left" ? this.length - sequence.length : 0;
      for (let i = 0; i < count; i++) visit(row * count + i, sequence[start + i - padding]);
    });
  }
}
