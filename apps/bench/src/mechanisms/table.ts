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
    make: ({ length }) => new CumulativeLinearAttention({ length }),
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
    make: ({ length }) => thinformerAttention({ length }),
    isConstant: false,
    needsNorm: false,
  },
];
