/** Sequence to sequence: a text, and the text to make of it. */

import { Seq2SeqTransformer } from "../../model/seq2seq.js";
import { sequenceToSequence } from "../../training/sequence-to-sequence.js";
import { textField, type Row } from "../inputs.js";
import { formatCount } from "../table.js";
import { makeTokenizer, marks, neededMark } from "../tokens.js";
import { evenly, makeJob, type Job } from "./job.js";
import { parts, type JobOptions } from "./options.js";

/** The job of predicting a text from another. */
export async function pairsJob(
  rows: readonly Row[],
  { input, target }: { readonly input: string; readonly target: string },
  options: JobOptions,
): Promise<Job> {
  const pairs = rows.map((row) => [textField(row, input), textField(row, target)] as const);
  const tokenizer =
    options.tokenizer ??
    (await makeTokenizer(options.tokenizerName ?? "byte", () => pairs.flat().join(""), [
      marks.begin,
      marks.end,
    ]));
  const endToken = neededMark(tokenizer, "end");
  const beginToken = neededMark(tokenizer, "begin");
  const { length } = options;
  const examples = pairs.map(([source, made]) => {
    const tokens = tokenizer.encode(source).slice(0, length);
    return {
      // A source has at least one position.
      source: tokens.length === 0 ? [endToken] : tokens,
      target: tokenizer.encode(made).slice(0, length - 1),
    };
  });
  const { training, heldOut } = parts(examples, options);
  const { vocabSize } = tokenizer;
  return makeJob({
    facts: { task: "seq2seq", input, target },
    fields: {
      vocabSize,
      outputDim: vocabSize,
      bosTokenId: beginToken,
      eosTokenId: endToken,
    },
    tokenizer,
    sizes: `${formatCount(training.length!)} pairs, ${formatCount(heldOut.length!)} held out`,
    unit: "tokens",
    loss: (loss) => `${(loss / Math.LN2).toFixed(3)} bits/token`,
    headline: ({ bitsPerToken, accuracy }) =>
      `${bitsPerToken!.toFixed(3)} bits per token, ${(100 * accuracy!).toFixed(1)} % of tokens right`,
    task: sequenceToSequence({ beginToken, endToken }),
    training,
    heldOut: evenly(heldOut, options.mostHeldOut),
    make: (config) => new Seq2SeqTransformer(config),
  });
}
