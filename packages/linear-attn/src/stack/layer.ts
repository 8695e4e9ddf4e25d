/** What stacks are made of. */

import type { Device, Tensor } from "@x/tensor";
import type { AttentionState, Module } from "@x/tensor/nn";

/** What a layer may be given besides its input. Layers ignore what they have no use for. */
export interface LayerCall {
  /** Bool [batch, length]: true for tokens, false for padding. */
  readonly inputMask?: Tensor | null;
  /** What layers that attend to another sequence read, [batch, contextLength, dim]. */
  readonly context?: Tensor | null;
  /** Bool [batch, contextLength]: true for tokens of the context, false for padding. */
  readonly contextMask?: Tensor | null;
  /** Sines and cosines by which queries and keys are rotated, [1, length, dimHead]. */
  readonly posEmb?: Tensor | null;
  /** The same for layers that attend along the folded axis, whose heads may have another size. */
  readonly axialPosEmb?: Tensor | null;
  /** What is remembered of the tokens before; it is updated in place. */
  readonly state?: AttentionState | null;
}

/** For what a state is made. */
export interface LayerStateOptions {
  /** How many sequences are decoded at once. */
  readonly batch: number;
  /** Size of the vectors that go in. */
  readonly dim: number;
  /** Whether calls may come with an input mask. Default false. */
  readonly masked?: boolean;
  /** Where the state lives; the current device unless given. */
  readonly device?: Device;
}

/** A module of a stack: from [batch, length, dim] to the same shape. */
export interface Layer extends Module {
  /** What the layer computes. */
  forward(x: Tensor, call?: LayerCall): Tensor;
  /** The state before the first token; layers without it remember nothing. */
  initState?(options: LayerStateOptions): AttentionState;
}
