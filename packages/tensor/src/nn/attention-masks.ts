/** From the masks of `torch.nn.MultiheadAttention` to the one that attention takes. */

import { XError } from "../error.js";
import { arange } from "../tensor/creation.js";
import { isFloat } from "../tensor/dtype.js";
import { formatShape, sameShape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";

/** The sizes that masks have to fit. */
export interface MaskSizes {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  /** Whether the masks come without a batch axis. */
  readonly isUnbatched: boolean;
}

/** Masks in which true, or −∞, means "ignore". */
export interface IgnoreMasks {
  readonly keyPaddingMask: Tensor | null;
  readonly attnMask: Tensor | null;
}

function checkType(name: string, mask: Tensor): void {
  if (mask.dtype === "bool" || isFloat(mask.dtype)) return;
  throw new XError(
    "dtype",
    `MultiheadAttention: ${name} must be bool (true = ignore) or floating point (added to the scores), got ${mask.dtype}. Compare or cast it.`,
  );
}

/** The padding mask as `[batch, 1, 1, keys]`. */
function arrangePadding(mask: Tensor, { batch, keys, isUnbatched }: MaskSizes): Tensor {
  checkType("keyPaddingMask", mask);
  const expected = isUnbatched ? [keys] : [batch, keys];
  if (!sameShape(mask.shape, expected)) {
    throw new XError(
      "shape",
      `MultiheadAttention: keyPaddingMask must have the shape ${formatShape(expected)}, got ${formatShape(mask.shape)}. Give one element for each key.`,
    );
  }
  return mask.reshape([batch, 1, 1, keys]);
}

/** The attention mask as `[1 or batch, 1 or heads, queries, keys]`. */
function arrangeMask(mask: Tensor, { batch, heads, queries, keys }: MaskSizes): Tensor {
  checkType("attnMask", mask);
  const { shape } = mask;
  if (sameShape(shape, [queries, keys])) return mask.reshape([1, 1, queries, keys]);
  if (sameShape(shape, [batch * heads, queries, keys])) {
    return mask.reshape([batch, heads, queries, keys]);
  }
  const broadcasts =
    shape.length === 4 &&
    (shape[0] === 1 || shape[0] === batch) &&
    (shape[1] === 1 || shape[1] === heads) &&
    shape[2] === queries &&
    shape[3] === keys;
  if (broadcasts) return mask;
  throw new XError(
    "shape",
    `MultiheadAttention: attnMask must have the shape ${formatShape([queries, keys])} or, for each head, ${formatShape([batch * heads, queries, keys])}, got ${formatShape(shape)}. Reshape it.`,
  );
}

/** True where a query must not see a key because it comes later; the last query sees all. */
function laterKeys(queries: number, keys: number): Tensor {
  const place = arange(queries, { dtype: "int32" })
    .unsqueeze(-1)
    .add(keys - queries);
  return arange(keys, { dtype: "int32" }).gt(place).reshape([1, 1, queries, keys]);
}

/**
 * One mask for attention, bool (true = visible) or floating point, or `null`.
 *
 * @param extraKeys keys after the given ones that everyone sees
 * @param isCausal whether to put the causal condition into the mask, as extra keys make necessary
 */
export function attentionGuide(
  { keyPaddingMask, attnMask }: IgnoreMasks,
  sizes: MaskSizes,
  extraKeys: number,
  isCausal: boolean,
): Tensor | null {
  const given: Tensor[] = [];
  if (keyPaddingMask !== null) given.push(arrangePadding(keyPaddingMask, sizes));
  if (attnMask !== null) given.push(arrangeMask(attnMask, sizes));
  if (isCausal) given.push(laterKeys(sizes.queries, sizes.keys));
  const masks = extraKeys === 0 ? given : given.map((mask) => mask.pad([0, extraKeys]));

  let ignored: Tensor | null = null;
  let bias: Tensor | null = null;
  for (const mask of masks) {
    if (mask.dtype === "bool") ignored = ignored === null ? mask : ignored.logicalOr(mask);
    else bias = bias === null ? mask.float() : bias.add(mask);
  }
  if (bias === null) return ignored === null ? null : ignored.logicalNot();
  return ignored === null ? bias : bias.maskedFill(ignored, -Infinity);
}
