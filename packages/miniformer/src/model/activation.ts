/** The functions between the maps of feed-forward parts. */

import type { Tensor } from "@x/tensor";
import type { ActivationKind, GatedActivation, PlainActivation } from "../config/fields.js";

type Activate = (x: Tensor) => Tensor;

const plain: Readonly<Record<PlainActivation, Activate>> = {
  gelu: (x) => x.gelu(),
  gelu_tanh: (x) => x.gelu({ approximate: "tanh" }),
  relu: (x) => x.relu(),
  silu: (x) => x.silu(),
  quick_gelu: (x) => x.mul(x.mul(1.702).sigmoid()),
};

const gated: Readonly<Record<GatedActivation, Activate>> = {
  swiglu: plain.silu,
  geglu: plain.gelu,
  geglu_tanh: plain.gelu_tanh,
  reglu: plain.relu,
};

/** Whether the function multiplies by a second map. */
export function isGated(kind: ActivationKind): kind is GatedActivation {
  return Object.hasOwn(gated, kind);
}

/** `act(x)`, or of a gated kind `act(x₁) · x₂` of the halves of the last axis. */
export function activate(kind: ActivationKind, x: Tensor): Tensor {
  if (!isGated(kind)) return plain[kind](x);
  const [gate, inner] = x.chunk(2, -1) as [Tensor, Tensor];
  return gated[kind](gate).mul(inner);
}
