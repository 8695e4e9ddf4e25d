/** Every attention mechanism of the project, for what is to be shown of all of them. */

import { linearAttention } from "@x/linear-attn";
import { srfAttention } from "@x/srf";
import { SoftmaxAttention, type AttentionMechanism } from "@x/tensor/nn";
import { thinformerAttention } from "@x/thinformer";
import { CumulativeLinearAttention } from "@x/trim";

/** For what a mechanism is made. */
export interface MechanismSizes {
  readonly headDim: number;
  /** The longest sequence. */
  readonly length: number;
}

/** A mechanism, and what it promises. */
export interface MechanismEntry {
  readonly name: string;
  /** One as its users would configure it; random ones draw from the default generator. */
  readonly make: (sizes: MechanismSizes) => AttentionMechanism;
  /** Whether its decode state has the same size for sequences of any length. */
  readonly isConstant: boolean;
  /** Whether its scores need a norm of queries and keys, since it has no softmax that would bound them. */
  readonly needsNorm: boolean;
}

/** Blocks of which a sequence has at least sixteen, so that most of the past is in coresets. */
function blocksFor(length: number): { readonly g: number; readonly blockSize: number } {
  const power = Math.min(4, Math.max(1, Math.floor(Math.log2(length) / 2) - 2));
  return { g: Math.min(2, power - 1), blockSize: 4 ** power };
}

/** The mechanisms; the first is the exact one that others are compared with. */
export const mechanisms: readonly MechanismEntry[] = [
  {
    name: "softmax",
    make: () => new SoftmaxAttention(),
    isConstant: false,
    needsNorm: false,
  },
  {
    name: "trim",
    make: ({ headDim, length }) =>
      new CumulativeLinearAttention({ scale: 1 / Math.sqrt(headDim * length) }),
    isConstant: true,
    needsNorm: true,
  },
  {
    name: "srf",
    make: ({ headDim }) => srfAttention({ headDim, epsilon: 1e-6 }),
    isConstant: true,
    needsNorm: false,
  },
  {
    name: "linear",
    make: () => linearAttention(),
    isConstant: true,
    needsNorm: false,
  },
  {
    name: "thinformer",
    make: ({ length }) => thinformerAttention(blocksFor(length)),
    isConstant: false,
    needsNorm: false,
  },
];
