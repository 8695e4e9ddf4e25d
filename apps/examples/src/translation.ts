/**
 * An encoder–decoder that translates a made language: other words, adjectives behind their nouns, and
 * the verb at the end. Sentences that it has never seen are translated.
 *
 *     pnpm example translation [--full]
 */

import { generate, Seq2SeqTransformer, TransformerConfig } from "@x/miniformer";
import {
  fromArray,
  sequenceToSequence,
  split,
  Trainer,
  type SequencePair,
} from "@x/miniformer/training";
import { fromData, manualSeed } from "@x/tensor";
import { isFull } from "./command-line.js";

// The dictionary: each word and its translation.
const adjectives = { red: "ruba", small: "pika", old: "sena", quiet: "mola" };
const nouns = { cat: "felo", dog: "hundo", bird: "avi", fish: "piskar", child: "nino" };
const verbs = { sees: "vidas", hears: "auda", likes: "amir", follows: "sekvo" };
const dictionary: Readonly<Record<string, string>> = { ...adjectives, ...nouns, ...verbs };

/** "red cat sees old dog" becomes "felo ruba hundo sena vidas"; adjectives may be missing. */
function translate(words: readonly string[]): string[] {
  const isNoun = (word: string): boolean => word in nouns;
  const verb = words.find((word) => word in verbs)!;
  const phrase = (part: readonly string[]): string[] => [
    part.find(isNoun)!,
    ...part.filter((word) => !isNoun(word)),
  ];
  const place = words.indexOf(verb);
  return [...phrase(words.slice(0, place)), ...phrase(words.slice(place + 1)), verb].map(
    (word) => dictionary[word]!,
  );
}

// Every sentence there is; a fifth is held out.
const phrases = [[], ...Object.keys(adjectives).map((word) => [word])].flatMap((adjective) =>
  Object.keys(nouns).map((noun) => [...adjective, noun]),
);
const sentences = phrases.flatMap((subject) =>
  Object.keys(verbs).flatMap((verb) => phrases.map((object) => [...subject, verb, ...object])),
);

// Tokens: 0 pads, 1 begins, 2 ends, then the words of both languages.
const words = ["", "<begin>", "<end>", ...Object.keys(dictionary), ...Object.values(dictionary)];
const encode = (text: readonly string[]): number[] => text.map((word) => words.indexOf(word));
const pairs = sentences.map((sentence): SequencePair => ({
  source: encode(sentence),
  target: encode(translate(sentence)),
}));
const { training, validation } = split(fromArray(pairs), { validation: 0.2 });

manualSeed(1);
const model = new Seq2SeqTransformer(
  TransformerConfig.tiny({
    vocabSize: words.length,
    dModel: 64,
    nLayers: isFull ? 2 : 1,
    maxSeqLen: 16,
    bosTokenId: 1,
    eosTokenId: 2,
    // A small model learns where to look in the source much sooner from larger weights than 0.02.
    initializerRange: 0.1,
  }),
);
const trainer = new Trainer({
  model,
  task: sequenceToSequence({ beginToken: 1, endToken: 2, padding: 8 }),
  data: training,
  batchSize: 32,
  steps: isFull ? 1500 : 300,
  learningRate: 3e-3,
  schedule: "cosine",
  onStep: ({ step, averageLoss }) => {
    if (step % 100 === 0) console.log(`step ${step}: loss ${averageLoss.toFixed(3)}`);
  },
});
await trainer.train();

/** Which share of held-out sentences is translated without a fault. */
model.eval();
let right = 0;
const asked = isFull ? validation.length! : 50;
for (let i = 0; i < asked; i++) {
  const { source, target } = validation.at!(i);
  const sentence = fromData(Int32Array.from(source), [1, source.length]);
  const [tokens] = await generate(model.bind(sentence), [1], { maxNewTokens: 8 }).tokens();
  const said = tokens!.filter((token) => token > 2).map((token) => words[token]);
  if (said.join() === Array.from(target, (token) => words[token]).join()) right++;
  if (i < 3)
    console.log(`${Array.from(source, (token) => words[token]).join(" ")} → ${said.join(" ")}`);
}
export const accuracy: number = right / asked;
console.log(`${right} of ${asked} sentences it has never seen are translated right.`);
