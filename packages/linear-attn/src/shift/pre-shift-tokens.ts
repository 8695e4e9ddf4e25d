/** Token shift: parts of each vector come from neighbouring positions. */

import { cat, zeros, type Tensor } from "@x/tensor";
import {
  check,
  checkKeyMask,
  checkNumbers,
  count,
  formatShape,
  sameShape,
  whole,
} from "@x/tensor/checks";
import { type AttentionState, Module, type Update, withUpdates } from "@x/tensor/nn";
import { isReference, type Compatibility } from "../compatibility.js";
import type { Layer, LayerCall, LayerStateOptions } from "../stack/layer.js";

/** Options of {@link PreShiftTokens}. */
export interface PreShiftTokensOptions {
  /** Ignores the input mask, as the original; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

const owner = "PreShiftTokens";

/**
 * A layer whose input is shifted along the sequence, group by group: the elements of a vector are
 * split into as many groups of `⌊dim / shifts⌋` as there are shifts, and group i of position t comes
 * from position `t − shifts[i]`, 0 where there is none. What is left over stays where it is. Padding
 * is 0 before it is shifted.
 *
 * @example
 * ```ts
 * const layer = new PreShiftTokens([1, 0], new Identity());
 * const x = tensor([[[1, 2], [3, 4], [5, 6]]]);
 * console.log(await layer.forward(x).toArray()); // → [ [ [ 0, 2 ], [ 1, 4 ], [ 3, 6 ] ] ]
 * ```
 */
export class PreShiftTokens extends Module {
  /** By how many positions each group is shifted; positive numbers to later ones. */
  readonly shifts: readonly number[];
  /** What gets the shifted input. */
  readonly fn: Layer;
  /** `"reference"` where masks are ignored, else `null`. */
  readonly compat: Compatibility | null;

  /** @throws XError `argument` if there are no shifts, or one is not a whole number */
  constructor(shifts: readonly number[], fn: Layer, options: PreShiftTokensOptions = {}) {
    super();
    checkNumbers(owner, whole, { shifts: [...shifts] });
    check(
      shifts.length > 0,
      "argument",
      () => `${owner}: there must be at least one shift, got none. Pass [0] to shift nothing.`,
    );
    this.shifts = [...shifts];
    this.fn = fn;
    this.compat = isReference(owner, options.compat) ? "reference" : null;
  }

  /**
   * From [batch, length, dim] to what the layer gives. With a state, positions before the first are
   * those of the calls before.
   *
   * @throws XError `shape` if a tensor or the state does not fit
   */
  forward(x: Tensor, call: LayerCall = {}): Tensor {
    const { shifts } = this;
    check(
      x.rank === 3 && x.shape[2]! >= shifts.length,
      "shape",
      () =>
        `${owner}: the input must have the axes [batch, length, dim] with dim of at least ${shifts.length}, got ${formatShape(x.shape)}. Reshape it.`,
    );
    const [batch, length, dim] = x.shape as [number, number, number];
    const size = Math.floor(dim / shifts.length);
    const groups = x.narrow(2, 0, size * shifts.length).chunk(shifts.length, 2);
    const mask = this.compat === null ? (call.inputMask ?? null) : null;
    if (mask !== null) checkKeyMask(owner, mask, [batch, length]);
    const padding = mask?.logicalNot().unsqueeze(-1) ?? null;
    const updates: Update[] = [];
    const shifted = groups.map((group, i) => {
      const amount = shifts[i]!;
      if (amount === 0) return group;
      const tokens = padding === null ? group : group.maskedFill(padding, 0);
      if (amount < 0) return ahead(tokens, -amount);
      const before = this.before(call.state ?? null, i, [batch, amount, size]);
      const all = cat([before ?? zeros([batch, amount, size]), tokens], 1);
      if (before !== null) updates.push([before, all.narrow(1, length, amount)]);
      return all.narrow(1, 0, length);
    });
    const rest = x.narrow(2, size * shifts.length, dim - size * shifts.length);
    return withUpdates(this.fn.forward(cat([...shifted, rest], 2), call), updates);
  }

  /**
   * The state before the first token: `shifted.0`, `shifted.1` … for the groups that are shifted, and
   * that of the layer.
   *
   * @throws XError `argument` if a group is shifted to earlier positions
   */
  initState(options: LayerStateOptions): AttentionState {
    const { batch, dim, device } = options;
    checkNumbers(owner, count, { batch, dim });
    check(
      this.shifts.every((amount) => amount >= 0),
      "argument",
      () =>
        `${owner}: a state needs shifts to later positions only, got ${this.shifts.join(", ")}. Compute the whole sequence instead.`,
    );
    const size = Math.floor(dim / this.shifts.length);
    const own = this.shifts.flatMap((amount, i) =>
      amount === 0 ? [] : [[nameOf(i), zeros([batch, amount, size], device ? { device } : {})]],
    );
    return { ...(Object.fromEntries(own) as AttentionState), ...this.fn.initState?.(options) };
  }

  /** The tokens before those of a call, or `null` where there are none. */
  private before(
    state: AttentionState | null,
    group: number,
    shape: readonly number[],
  ): Tensor | null {
    if (state === null) return null;
    const tokens = state[nameOf(group)];
    check(
      tokens !== undefined && sameShape(tokens.shape, shape),
      "shape",
      () =>
        `${owner}: the state needs "${nameOf(group)}" of shape ${formatShape(shape)}, got ${tokens === undefined ? "none" : formatShape(tokens.shape)}. Make it for this batch with initState().`,
    );
    return tokens;
  }
}

function nameOf(group: number): string {
  return `shifted.${group}`;
}

/** `x` of [batch, length, size] with position t taken from t + `amount`. */
function ahead(x: Tensor, amount: number): Tensor {
  const length = x.shape[1]!;
  const kept = Math.max(length - amount, 0);
  return cat([x.narrow(1, length - kept, kept), zeros(x.shape.with(1, length - kept))], 1);
}
