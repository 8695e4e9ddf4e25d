/** What states of all kinds have in common. */

import { fromData, type Device, type Tensor } from "@x/tensor";
import { check, formatShape, sameShape } from "@x/tensor/checks";
import type { AttentionState } from "@x/tensor/nn";

/** The position before the first token. */
export function startPosition(device: Device): Tensor {
  return fromData(new Int32Array(1), [], { device });
}

/** Checks that a state, which may have come from a file, has what an empty one has. */
export function checkState(op: string, state: AttentionState, empty: AttentionState): void {
  for (const [name, { shape, dtype }] of Object.entries(empty)) {
    const tensor = (state as Partial<AttentionState>)[name];
    check(
      tensor !== undefined && sameShape(tensor.shape, shape) && tensor.dtype === dtype,
      "shape",
      () =>
        `${op}: the state must have a tensor ${name}, ${dtype} ${formatShape(shape)}, got ${tensor ? `${tensor.dtype} ${formatShape(tensor.shape)}` : "none"}. Make it with initState() for these sizes, with masked: true if masks come with it.`,
    );
  }
}
