/** What states of all kinds have in common. */

import type { Device, Tensor } from "@x/tensor";
import type { AttentionState, StateOptions, Update } from "@x/tensor/nn";
import {
  check,
  checkHeads,
  checkKeyMask,
  formatShapes,
  fromData,
  getDevice,
  ones,
  sameShape,
  zeros,
} from "./engine.js";
import { checkShape, checkCounts } from "./checks.js";

/** What is attended to, and what the state is about to become. */
export interface Advance {
  readonly output: Tensor;
  readonly updates: readonly Update[];
}

/** Queries, keys and values. */
export type Heads = readonly [query: Tensor, key: Tensor, value: Tensor];

/** For what a state of any number of tokens is made. */
export type StateSizes = Omit<StateOptions, "capacity">;

/** Keys and values that are remembered as they are. */
export interface Kept {
  /** [batch, keyHeads, places, d] */
  readonly keys: Tensor;
  /** [batch, keyHeads, places, e] */
  readonly values: Tensor;
  /** Bool [batch, places]: which of them take part; absent where all do. */
  readonly mask?: Tensor;
}

/** The position before the first token. */
export function startPosition(device: Device = getDevice()): Tensor {
  return fromData(new Int32Array(1), [], { device });
}

/** Places for keys and values, with nothing in them. */
export function emptyKept(
  places: number,
  { batch, heads, headDim, valueDim, masked, device }: Required<StateSizes>,
): AttentionState & Kept {
  return {
    keys: zeros([batch, heads, places, headDim], { device }),
    values: zeros([batch, heads, places, valueDim], { device }),
    ...(masked && { mask: zeros([batch, places], { dtype: "bool", device }) }),
  };
}

/** The position after so many tokens more. */
export function nextPosition(position: Tensor, tokens: number): Update {
  return [position, position.add(tokens)];
}

/** What is kept, what comes next, and along which axis it does: keys, values and perhaps the mask. */
export function nextOf(
  { keys, values, mask }: Kept,
  [, k, v]: Heads,
  nextMask: Tensor | null,
): (readonly [kept: Tensor, next: Tensor, axis: number])[] {
  const next = [[keys, k, 2] as const, [values, v, 2] as const];
  if (!mask) return next;
  const all = (): Tensor => ones([k.shape[0]!, k.shape[2]!], { dtype: "bool" });
  return [...next, [mask, nextMask ?? all(), 1]];
}

/** The tensors of a part of a state, with the name of the part before their own. */
export function asPart(name: string, state: AttentionState): AttentionState {
  return Object.fromEntries(
    Object.entries(state).map(([own, tensor]) => [`${name}.${own}`, tensor]),
  );
}

/** The tensors of one part, with their own names. */
export function partOf(state: AttentionState, name: string): AttentionState {
  const prefix = `${name}.`;
  return Object.fromEntries(
    Object.entries(state)
      .filter(([full]) => full.startsWith(prefix))
      .map(([full, tensor]) => [full.slice(prefix.length), tensor]),
  );
}

/** Checks that a state, which may have come from a file, has what an empty one has. */
export function checkState(op: string, state: AttentionState, empty: AttentionState): void {
  for (const [name, wanted] of Object.entries(empty)) {
    const tensor = (state as Partial<AttentionState>)[name];
    check(
      tensor !== undefined &&
        sameShape(tensor.shape, wanted.shape) &&
        tensor.dtype === wanted.dtype,
      "shape",
      () =>
        `${op}: the state must have a tensor ${name}, ${wanted.dtype} ${formatShapes(wanted)}, got ${tensor ? `${tensor.dtype} ${formatShapes(tensor)}` : "none"}. Make it with initState() for these sizes, with masked: true if masks come with it.`,
    );
  }
}

/** The sizes of a state, checked and with every default in its place. */
export function checkSizes(op: string, sizes: StateSizes): Required<StateSizes> {
  const all = { valueDim: sizes.headDim, masked: false, device: getDevice(), ...sizes };
  const { batch, heads, headDim, valueDim } = all;
  checkCounts(op, { batch, heads, headDim, valueDim });
  return all;
}

/** Checks that there is a query for each key, and that heads and a mask fit. */
export function checkSelfAttention(op: string, [q, k, v]: Heads, mask: Tensor | null): void {
  checkHeads(op, q, k, v);
  checkShape(
    op,
    q.shape[2] === k.shape[2],
    [q, k],
    (shapes) => `there must be a query for each key, got ${shapes}. Reshape them.`,
  );
  checkKeyMask(op, mask, [k.shape[0]!, k.shape[2]!]);
}

/** Checks what a mechanism is given for a step: a query for each key, a mask and a state that fit. */
export function checkStep(
  op: string,
  tokens: Heads,
  mask: Tensor | null,
  state: AttentionState,
  mechanism: { initState(sizes: StateSizes): AttentionState },
): void {
  checkSelfAttention(op, tokens, mask);
  const [, { shape }, v] = tokens;
  const [batch, heads, , headDim] = shape as [number, number, number, number];
  const sizes = { batch, heads, headDim, valueDim: v.shape[3]!, masked: mask !== null };
  checkState(op, state, mechanism.initState(sizes));
}
