/** Computing again what was recorded, by its name. */

import { fromData, type Tensor } from "@x/tensor";
import { generate, type StackCall } from "@x/miniformer";
import type { Pretrained } from "@x/miniformer/pretrained";
import { problemWith, type Finding } from "../recorded/finding.js";
import type { Elements, RecordedTensor } from "../recorded/tensors.js";
import { compareIds, compareNumbers } from "./compare.js";
import { idsOf, type Expected } from "./expected.js";

/** The batch that was recorded. */
export interface Inputs {
  /** int32 [batch, length] */
  readonly ids: Tensor | null;
  /** Bool [batch, length]; `null` where all positions are real. */
  readonly mask: Tensor | null;
  /** int32 [batch, length], or `null`. */
  readonly tokenTypes: Tensor | null;
}

/** A checkpoint that was loaded, and what was recorded of it. */
export interface Subject extends Pretrained {
  readonly expected: Expected;
  readonly inputs: Inputs;
}

type Output = (subject: Subject, name: string, recorded: RecordedTensor) => Promise<Finding>;

/** How many ids of the first row begin what was generated. */
const promptLength = 6;

/** The recorded inputs, and the names of those that nothing is known of. */
export function inputsOf({ tensors }: Expected): {
  readonly inputs: Inputs;
  readonly unknown: readonly string[];
} {
  const integers = (name: string): Tensor | null => {
    const found = tensors.get(name);
    return found === undefined ? null : fromData(Int32Array.from(found.data), found.shape);
  };
  const names = {
    ids: "input.ids",
    mask: "input.attention_mask",
    tokenTypes: "input.token_type_ids",
  };
  return {
    inputs: {
      ids: integers(names.ids),
      mask: integers(names.mask)?.ne(0) ?? null,
      tokenTypes: integers(names.tokenTypes),
    },
    unknown: [...tensors.keys()].filter(
      (name) => name.startsWith("input.") && !Object.values(names).includes(name),
    ),
  };
}

function idsIn({ inputs }: Subject): Tensor {
  if (inputs.ids === null) throw new Error("input.ids must be recorded, got none. Add them.");
  return inputs.ids;
}

/**
 * A call as the recording library makes it: positions count padding too, so that the mask says only
 * which keys are seen.
 */
function callOf({ model, inputs }: Subject): StackCall {
  const { mask, tokenTypes } = inputs;
  return {
    tokenTypes,
    ...(mask !== null && {
      mask: mask.unsqueeze(1).unsqueeze(1),
      isCausal: model.config.causal,
    }),
  };
}

async function readBack(tensor: Tensor): Promise<Elements> {
  return { shape: tensor.shape, data: await tensor.data() };
}

/** What is compared for each position. At masked ones, results of causal models mean nothing. */
async function comparedRows({ model, inputs }: Subject): Promise<ArrayLike<unknown> | null> {
  return model.config.causal && inputs.mask !== null ? inputs.mask.data() : null;
}

/** What each recorded tensor is, by its name without `output.`. */
export const outputs: ReadonlyMap<string, Output> = new Map<string, Output>([
  [
    "logits",
    async (subject, name, recorded) => {
      const { model, inputs } = subject;
      const ids = idsIn(subject);
      if (model.config.pooling !== "none") {
        // One row for each sequence; which position counts is seen by the mask.
        const call = { keyMask: inputs.mask, tokenTypes: inputs.tokenTypes };
        return compareNumbers(name, await readBack(model.forward(ids, call)), recorded);
      }
      const logits = await readBack(model.forward(ids, callOf(subject)));
      return compareNumbers(name, logits, recorded, await comparedRows(subject));
    },
  ],
  [
    "last_hidden_state",
    async (subject, name, recorded) => {
      const hidden = subject.model.hidden(idsIn(subject), callOf(subject));
      return compareNumbers(name, await readBack(hidden), recorded, await comparedRows(subject));
    },
  ],
  [
    "pooler_output",
    async (subject, name, recorded) => {
      const pooled = subject.model.forwardPooled(idsIn(subject), callOf(subject));
      return compareNumbers(name, await readBack(pooled), recorded);
    },
  ],
  ["greedy", async (...call) => generated(1, ...call)],
  ["beam", async (...call) => generated(4, ...call)],
  [
    "text_ids",
    async ({ tokenizer, expected }, name, recorded) => {
      if (tokenizer === null) {
        return problemWith(name, "the checkpoint must have a tokenizer, got none");
      }
      if (expected.text === null) return problemWith(name, "the text must be recorded, got none");
      return compareIds(name, tokenizer.encode(expected.text), idsOf(recorded));
    },
  ],
]);

async function generated(
  numBeams: number,
  subject: Subject,
  name: string,
  recorded: RecordedTensor,
): Promise<Finding> {
  const ids = await idsIn(subject).data();
  const prompt = Array.from(ids.subarray(0, promptLength));
  const expected = idsOf(recorded);
  const [tokens] = await generate(subject.model, [prompt], {
    maxNewTokens: expected.length - promptLength,
    numBeams,
    stopTokens: null,
    useCache: true,
  }).tokens();
  return compareIds(name, [...prompt, ...tokens!], expected);
}
