/** Defaults of a configuration, and checks that it can be built. */

import { XError } from "@x/tensor";
import {
  check,
  checkChoice,
  checkNumbers,
  count,
  nonNegative,
  positive,
  wholeFrom,
  type Rule,
} from "@x/tensor/checks";
import { registeredAttention } from "./attention-registry.js";
import {
  activationKinds,
  poolingKinds,
  positionKinds,
  type AttentionSpec,
  type ExpertsSpec,
  type RotaryScaling,
  type TransformerFields,
  type TransformerOptions,
} from "./fields.js";

const owner = "TransformerConfig";

/** Dropping everything leaves nothing to train. */
const dropRate: Rule = ["be at least 0 and less than 1", (x) => x >= 0 && x < 1];

/** All fields, with defaults for those that are left out. */
export function resolveOptions(options: TransformerOptions): TransformerFields {
  const given = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as TransformerOptions;
  const { dModel = 256, nHeads = 4, nLayers = 4, bias = true } = given;
  const { vocabSize = null, compat = null } = given;
  // What other defaults are computed from is checked before.
  checkNumbers(owner, count, { dModel, nHeads, nLayers });
  const defaults: TransformerFields = {
    vocabSize,
    inputDim: null,
    outputDim: null,
    dModel,
    nHeads,
    nKvHeads: nHeads,
    headDim: dModel / nHeads,
    nLayers,
    nDecoderLayers: nLayers,
    dFf: 4 * dModel,
    dropout: 0,
    attentionDropout: 0,
    activation: "gelu",
    preNorm: true,
    norm: "layer",
    layerNormEps: 1e-5,
    finalNorm: false,
    embeddingNorm: false,
    qkNorm: null,
    bias,
    qkvBias: bias,
    outputBias: bias,
    ffBias: bias,
    headBias: bias,
    positions: "learned",
    maxSeqLen: 512,
    rotaryPct: 1,
    rotaryBase: 10000,
    rotaryLayout: "half",
    rotaryScaling: null,
    embeddingScale: true,
    tokenTypes: 0,
    tieEmbeddings: false,
    initializerRange: 0.02,
    padTokenId: compat === "reference" ? 0 : null,
    bosTokenId: null,
    eosTokenId: null,
    causal: vocabSize !== null,
    slidingWindow: null,
    pooling: "none",
    pooler: false,
    attention: "softmax",
    experts: null,
    checkpoint: false,
    shareEmbeddings: true,
    useCausalMask: true,
    compat,
  };
  for (const name of Object.keys(given)) {
    check(
      Object.hasOwn(defaults, name),
      "argument",
      () =>
        `${owner}: the fields must be known, got "${name}". Correct the name: there are ${Object.keys(defaults).join(", ")}.`,
    );
  }
  const fields = { ...defaults, ...given } as TransformerFields;
  checkFields(fields);
  return fields;
}

function checkFields(fields: TransformerFields): void {
  const { vocabSize, inputDim, outputDim, nHeads, nKvHeads, headDim, nLayers } = fields;
  checkNumbers(owner, count, {
    ...given({ vocabSize, inputDim, outputDim }),
    nKvHeads,
    dFf: fields.dFf,
    nDecoderLayers: fields.nDecoderLayers,
    maxSeqLen: fields.maxSeqLen,
  });
  check(
    Number.isSafeInteger(headDim) && headDim > 0,
    "argument",
    () =>
      `${owner}: headDim must be a whole number of at least 1, got ${headDim} for dModel ${fields.dModel} and ${nHeads} heads. Let nHeads divide dModel, or give headDim.`,
  );
  check(
    nHeads % nKvHeads === 0,
    "argument",
    () =>
      `${owner}: nKvHeads must divide nHeads, got ${nKvHeads} for ${nHeads}. Choose a divisor of it.`,
  );
  check(
    vocabSize !== null || inputDim !== null,
    "argument",
    () =>
      `${owner}: vocabSize (for tokens) or inputDim (for feature vectors) must be given, got neither. Give one of them.`,
  );
  checkNumbers(owner, dropRate, {
    dropout: fields.dropout,
    attentionDropout: fields.attentionDropout,
  });
  checkNumbers(owner, nonNegative, {
    layerNormEps: fields.layerNormEps,
    initializerRange: fields.initializerRange,
  });
  checkNumbers(owner, wholeFrom(0), {
    tokenTypes: fields.tokenTypes,
    ...given({ padTokenId: fields.padTokenId, bosTokenId: fields.bosTokenId }),
    ...given({ eosTokenId: fields.eosTokenId }),
  });
  for (const [name, choices] of Object.entries(allChoices)) {
    checkChoice(owner, name, fields[name as keyof TransformerFields], choices);
  }
  check(
    fields.compat === null || (fields.compat as string) === "reference",
    "argument",
    () => `${owner}: compat must be "reference" or null, got ${String(fields.compat)}. Correct it.`,
  );
  check(
    fields.compat === null || fields.positions !== "alibi",
    "argument",
    () => `${owner}: compat has no alibi positions, got both. Leave one of them out.`,
  );
  checkFlags(fields);
  checkRotary(fields);
  checkTying(fields);
  checkLists(fields, nLayers);
  if (fields.experts !== null) checkExperts(fields.experts, nLayers);
}

/** The fields that have a value. */
function given(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

const allChoices = {
  activation: activationKinds,
  norm: ["layer", "rms"],
  positions: positionKinds,
  rotaryLayout: ["half", "interleaved"],
  pooling: poolingKinds,
} as const;

const flags = [
  ...["preNorm", "finalNorm", "embeddingNorm", "bias", "qkvBias", "outputBias", "ffBias"],
  ...["headBias", "embeddingScale", "tieEmbeddings", "causal", "pooler", "checkpoint"],
  ...["shareEmbeddings", "useCausalMask"],
] as readonly (keyof TransformerFields)[];

function checkFlags(fields: TransformerFields): void {
  for (const name of flags) {
    const value: unknown = fields[name];
    check(
      typeof value === "boolean",
      "argument",
      () => `${owner}: ${name} must be true or false, got ${String(value)}. Correct it.`,
    );
  }
  const { qkNorm } = fields;
  check(
    qkNorm === null || typeof qkNorm === "boolean",
    "argument",
    () => `${owner}: qkNorm must be true, false or null, got ${String(qkNorm)}. Correct it.`,
  );
}

function checkRotary({
  headDim,
  positions,
  rotaryPct,
  rotaryBase,
  ...rest
}: TransformerFields): void {
  checkNumbers(owner, positive, { rotaryBase });
  checkNumbers(owner, ["be above 0 and at most 1", (x) => x > 0 && x <= 1], { rotaryPct });
  if (positions === "rotary") {
    const rotated = headDim * rotaryPct;
    check(
      Number.isSafeInteger(rotated) && rotated % 2 === 0 && rotated > 0,
      "argument",
      () =>
        `${owner}: rotary positions must turn an even number of elements of each head, got ${rotated} for headDim ${headDim} and rotaryPct ${rotaryPct}. Change one of them.`,
    );
  }
  if (rest.rotaryScaling !== null) checkScaling(rest.rotaryScaling);
}

function checkScaling(scaling: RotaryScaling): void {
  checkChoice(owner, "rotaryScaling.type", scaling.type, ["linear", "llama3", "yarn"]);
  const numbers: Record<string, number | undefined> = { ...scaling, type: undefined };
  const needed = {
    linear: ["factor"],
    llama3: ["factor", "lowFreqFactor", "highFreqFactor", "originalMaxPositions"],
    yarn: ["factor", "originalMaxPositions"],
  }[scaling.type];
  for (const name of new Set([...needed, ...Object.keys(numbers)])) {
    if (name !== "type")
      checkNumbers(owner, positive, { [`rotaryScaling.${name}`]: numbers[name] });
  }
  if (scaling.type !== "llama3") return;
  const { lowFreqFactor, highFreqFactor } = scaling;
  check(
    highFreqFactor > lowFreqFactor,
    "argument",
    () =>
      `${owner}: rotaryScaling.highFreqFactor must be above lowFreqFactor, got ${highFreqFactor} and ${lowFreqFactor}. Exchange them.`,
  );
}

function checkTying({ tieEmbeddings, vocabSize, outputDim }: TransformerFields): void {
  if (!tieEmbeddings) return;
  check(
    vocabSize !== null,
    "argument",
    () =>
      `${owner}: tieEmbeddings needs a model of tokens, got vocabSize null. Give vocabSize, or set tieEmbeddings to false.`,
  );
  check(
    outputDim === null || outputDim === vocabSize,
    "argument",
    () =>
      `${owner}: outputDim must be vocabSize with tieEmbeddings, got ${outputDim} and ${vocabSize}. Leave one of them out.`,
  );
}

function checkLists(fields: TransformerFields, nLayers: number): void {
  const { attention, slidingWindow, positions, compat } = fields;
  for (const [name, list] of Object.entries({ attention, slidingWindow })) {
    if (!Array.isArray(list)) continue;
    check(
      list.length === nLayers,
      "argument",
      () =>
        `${owner}: a list for ${name} must have an element for each of ${nLayers} layers, got ${list.length}. Give one for each, or one for all.`,
    );
  }
  const specs = [attention].flat() as readonly AttentionSpec[];
  const windows = [slidingWindow].flat() as readonly (number | null)[];
  checkNumbers(owner, count, { slidingWindow: windows.filter((window) => window !== null) });
  for (let layer = 0; layer < nLayers; layer++) {
    const spec = specs[layer % specs.length]!;
    const name = checkSpec(spec);
    if (name === "softmax") continue;
    check(
      positions !== "alibi" &&
        (windows[layer % windows.length] ?? null) === null &&
        compat === null,
      "argument",
      () =>
        `${owner}: alibi positions, slidingWindow and compat need softmax attention, got "${name}" in layer ${layer}. Choose other positions, or softmax for that layer.`,
    );
  }
}

/** The name of a layer's attention; of a mechanism without one, that of its class. */
function checkSpec(spec: AttentionSpec): string {
  if (typeof spec === "object" && "forward" in spec && typeof spec.forward === "function") {
    return spec.constructor.name;
  }
  const name: unknown = typeof spec === "string" ? spec : (spec as { name?: unknown } | null)?.name;
  if (typeof name !== "string") {
    throw new XError(
      "argument",
      `${owner}: attention must be a name, an object with a name, or a mechanism with forward(), got ${String(name)}. Correct it.`,
    );
  }
  if (name !== "softmax") registeredAttention(name);
  return name;
}

function checkExperts({ count: experts, topK, layers }: ExpertsSpec, nLayers: number): void {
  checkNumbers(owner, count, { "experts.count": experts, "experts.topK": topK });
  check(
    topK <= experts,
    "argument",
    () =>
      `${owner}: experts.topK must be at most experts.count, got ${topK} of ${experts}. Choose fewer.`,
  );
  if (layers === undefined) return;
  checkNumbers(owner, ["be a layer", (x) => Number.isSafeInteger(x) && x >= 0 && x < nLayers], {
    "experts.layers": layers,
  });
}
