/** Attention mechanisms by name, so that configurations can be written down. */

import { XError } from "@x/tensor";
import { check } from "@x/tensor/checks";
import type { AttentionMechanism } from "@x/tensor/nn";

/** For what a mechanism is made. */
export interface AttentionSizes {
  /** Size of queries, keys and values. */
  readonly headDim: number;
  /** The longest sequence that the model is made for. */
  readonly length: number;
  /** Heads of the queries. */
  readonly nHeads: number;
  /** What stands in the configuration beside the name. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** What is known of attention with a name. */
export interface RegisteredAttention {
  /** Makes one for a layer. */
  make(sizes: AttentionSizes): AttentionMechanism;
  /** Whether it needs queries and keys to be normalised, having no softmax that bounds scores. */
  readonly needsNorm?: boolean;
}

// One table for the program: models are made from configurations that only name their attention.
let registry: Map<string, RegisteredAttention> | null = null;

/**
 * Gives an attention mechanism a name, which configurations may then use, also those that are read
 * from a file. A name that is registered again means the new one.
 *
 * @throws XError `argument` if the name is empty or `"softmax"`, or nothing can be made
 * @example
 * ```ts
 * import { SoftmaxAttention } from "@x/tensor/nn";
 *
 * registerAttention("sharp", {
 *   make: ({ headDim, options }) =>
 *     new SoftmaxAttention({ scale: Number(options.factor ?? 1) / Math.sqrt(headDim) }),
 * });
 * const config = TransformerConfig.tiny({
 *   vocabSize: 100,
 *   attention: { name: "sharp", factor: 2 },
 * });
 * const model = new Transformer(config);
 * console.log(model.forward(zeros([1, 8], { dtype: "int32" })).shape); // → [ 1, 8, 100 ]
 * ```
 */
export function registerAttention(name: string, attention: RegisteredAttention): void {
  check(
    typeof name === "string" && name !== "" && name !== "softmax",
    "argument",
    () =>
      `registerAttention: the name must be a word other than "softmax", got "${name}". Change it.`,
  );
  check(
    typeof (attention as Partial<RegisteredAttention> | null)?.make === "function",
    "argument",
    () =>
      `registerAttention: "${name}" must come with make(), a function that gives a mechanism, got ${typeof attention}. Pass { make }.`,
  );
  registry ??= new Map();
  registry.set(name, attention);
}

/** What is registered under a name. */
export function registeredAttention(name: string): RegisteredAttention {
  const found = registry?.get(name);
  if (found !== undefined) return found;
  const known = ["softmax", ...(registry?.keys() ?? [])];
  throw new XError(
    "argument",
    `TransformerConfig: attention must be one of ${known.map((word) => `"${word}"`).join(", ")}, got "${name}". Register it with registerAttention() before.`,
  );
}
