/** Language modelling: text, or rows with a text each. */

import { XError } from "@x/tensor";
import { Transformer } from "../../model/transformer.js";
import { fromArray, type Source } from "../../data/source.js";
import { packed, tokenWindows, type Tokens } from "../../data/token-windows.js";
import { collect } from "../../data/rows.js";
import { languageModelling } from "../../training/language-modelling.js";
import { ByteTokenizer } from "../../tokenizers/byte-tokenizer.js";
import type { Tokenizer } from "../../tokenizers/tokenizer.js";
import { textField, type Input } from "../inputs.js";
import { formatCount } from "../table.js";
import {
  bytesPerToken,
  makeTokenizer,
  marks,
  markOf,
  neededMark,
  textOf,
  tokensOf,
} from "../tokens.js";
import { evenly, makeJob, type Job } from "./job.js";
import { parts, type JobOptions } from "./options.js";

/** Blocks of text that are held out have this size, unless the text is short. */
const blockSize = 2048;

/** In how many ways a text is cut into windows that are learned from. */
const cuts = 8;

type TokenArray = Uint8Array | Int32Array;

interface Windows {
  readonly training: Source<Tokens>;
  readonly heldOut: Source<Tokens>;
  readonly tokens: number;
  readonly heldOutTokens: number;
  readonly bytes: number;
}

/** The job of predicting the next token. */
export async function languageJob(
  input: Input,
  field: string | null,
  options: JobOptions,
): Promise<Job> {
  const isPlain = input.kind === "text";
  const texts = (): string =>
    isPlain
      ? textOf(input.bytes)
      : input.rows.map((row) => textField(row, field ?? "text")).join("");
  const tokenizer =
    options.tokenizer ??
    (await makeTokenizer(options.tokenizerName ?? "byte", texts, isPlain ? [] : [marks.end]));
  const windows = isPlain
    ? textWindows(tokenizer, input.bytes, options)
    : await rowWindows(tokenizer, input, field ?? "text", options);
  const unit = tokenizer instanceof ByteTokenizer ? "bytes" : "tokens";
  const { vocabSize } = tokenizer;
  const perToken = bytesPerToken(tokenizer, windows.bytes, windows.tokens + windows.heldOutTokens);
  return makeJob({
    facts: { task: "language", input: isPlain ? null : field },
    fields: { vocabSize, outputDim: vocabSize, causal: true, eosTokenId: markOf(tokenizer, "end") },
    tokenizer,
    sizes: `${formatCount(windows.tokens)} ${unit}, ${formatCount(windows.heldOutTokens)} held out`,
    unit,
    loss: (loss) => `${(loss / Math.LN2).toFixed(3)} bits/${unit.slice(0, -1)}`,
    headline: ({ bitsPerByte, bitsPerToken }) =>
      bitsPerByte === undefined
        ? `${bitsPerToken!.toFixed(3)} bits per token`
        : `${bitsPerByte.toFixed(3)} bits per byte`,
    task: languageModelling({ padding: options.length, bytesPerToken: perToken }),
    training: windows.training,
    heldOut: evenly(windows.heldOut, options.mostHeldOut),
    make: (config) => new Transformer(config),
  });
}

function textWindows(
  tokenizer: Tokenizer,
  bytes: Uint8Array,
  { length, heldOut: share }: JobOptions,
): Windows {
  const all = tokensOf(tokenizer, bytes);
  const [training, heldOut] = share === null ? [all, all] : splitTokens(all, share, length);
  const least = share === null ? 2 : length + 1;
  if (training.length < least || heldOut.length < least) {
    throw new XError(
      "argument",
      share === null
        ? `--data: the text must have at least two tokens, got ${all.length}. Name another file.`
        : `--data: both parts of the text must be longer than --length ${length}, got ${training.length} tokens to learn from and ${heldOut.length} held out. Take a longer text (at least ${Math.ceil((2 * least) / share)} tokens) or a smaller --length.`,
    );
  }
  return {
    training: tokenWindows(training, { length, stride: Math.ceil(length / cuts) }),
    heldOut: tokenWindows(heldOut, { length }),
    tokens: share === null ? 0 : training.length,
    heldOutTokens: heldOut.length,
    bytes: bytes.length,
  };
}

/** Every so manieth block is held out, so that both parts are of the same kind. */
function splitTokens(
  tokens: TokenArray,
  share: number,
  length: number,
): readonly [TokenArray, TokenArray] {
  const every = Math.max(2, Math.round(1 / share));
  const block = Math.max(length + 1, Math.min(blockSize, Math.floor(tokens.length / every)));
  const blocks: readonly [TokenArray[], TokenArray[]] = [[], []];
  for (let start = 0, number = 1; start < tokens.length; start += block, number++) {
    blocks[number % every === 0 ? 1 : 0].push(tokens.subarray(start, start + block));
  }
  return [joined(tokens, blocks[0]), joined(tokens, blocks[1])];
}

function joined(like: TokenArray, parts: readonly TokenArray[]): TokenArray {
  const size = parts.reduce((sum, { length }) => sum + length, 0);
  const whole = like instanceof Uint8Array ? new Uint8Array(size) : new Int32Array(size);
  let start = 0;
  for (const part of parts) {
    whole.set(part, start);
    start += part.length;
  }
  return whole;
}

async function rowWindows(
  tokenizer: Tokenizer,
  input: Extract<Input, { kind: "rows" }>,
  field: string,
  options: JobOptions,
): Promise<Windows> {
  const texts = input.rows.map((row) => textField(row, field));
  const documents = texts.map((text) => tokenizer.encode(text));
  const packing = { length: options.length, endToken: neededMark(tokenizer, "end") };
  const { training, heldOut } = parts(documents, options);
  const held = await collect(packed(heldOut, packing).read({ epoch: 0, seed: null }, 0));
  const heldOutTokens = held.reduce((sum, window) => sum + window.length - 1, 1);
  const tokens = documents.reduce((sum, { length }) => sum + length + 1, 0);
  return {
    training: packed(training, packing),
    heldOut: fromArray<Tokens>(held),
    tokens: options.heldOut === null ? 0 : tokens - heldOutTokens,
    heldOutTokens,
    bytes: texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0),
  };
}
