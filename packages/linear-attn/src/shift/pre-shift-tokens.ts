/** Token shift: parts of each vector come from neighbouring positions. */

import { cat, zeros, type Device, type Tensor } from "@x/tensor";
import { checkNumbers, whole } from "@x/tensor/checks";
import { type AttentionState, Module, type Update, withUpdates } from "@x/tensor/nn";
import { checkArgument, checkShape, checkCounts, checkSequence } from "../checks.js";
import { checkCompat, type Compatibility } from "../compatibility.js";
import { withoutPadding } from "../sequence.js";
import type { Layer, LayerCall, LayerStateOptions } from "../stack/layer.js";
import { checkState } from "../state.js";

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
    checkArgument(
      owner,
      shifts.length > 0,
      () => `there must be at least one shift, got none. Pass [0] to shift nothing.`,
    );
    this.shifts = [...shifts];
    this.fn = fn;
    this.compat = checkCompat(owner, options.compat);
  }

  /**
   * From [batch, length, dim] to what the layer gives. With a state, positions before the first are
   * those of the calls before.
   *
   * @throws XError `shape` if a tensor or the state does not fit
   */
  forward(x: Tensor, call: LayerCall = {}): Tensor {
    const { shifts } = this;
    const { inputMask = null, state = null } = call;
    const mask = this.compat === null ? inputMask : null;
    checkSequence(owner, "input", x, null, mask);
    const [batch, length, dim] = x.shape as [number, number, number];
    checkShape(
      owner,
      dim >= shifts.length,
      [x],
      (shape) =>
        `the input must have a dim of at least ${shifts.length}, got ${shape}. Reshape it.`,
    );
    const before = this.nothing(batch, dim);
    if (state !== null) checkState(owner, state, before);
    const size = Math.floor(dim / shifts.length);
    const updates: Update[] = [];
    const parts = shifts.map((amount, i) => {
      const group = x.narrow(2, i * size, size);
      if (amount === 0) return group;
      const tokens = withoutPadding(group, mask);
      const beyond = (state ?? before)[nameOf(i)]!;
      if (amount < 0) return cat([tokens, beyond], 1).narrow(1, -amount, length);
      const all = cat([beyond, tokens], 1);
      if (state !== null) updates.push([beyond, all.narrow(1, length, amount)]);
      return all.narrow(1, 0, length);
    });
    const used = size * shifts.length;
    const shifted = cat([...parts, x.narrow(2, used, dim - used)], 2);
    return withUpdates(this.fn.forward(shifted, call), updates);
  }

  /**
   * The state before the first token: `shifted.0`, `shifted.1` … for the groups that are shifted, and
   * that of the layer.
   *
   * @throws XError `argument` if a group is shifted to earlier positions
   */
  initState(options: LayerStateOptions): AttentionState {
    const { batch, dim, device } = options;
    checkCounts(owner, { batch, dim });
    checkArgument(
      owner,
      this.shifts.every((amount) => amount >= 0),
      () =>
        `a state needs shifts to later positions only, got ${this.shifts.join(", ")}. Compute the whole sequence instead.`,
    );
    return { ...this.nothing(batch, dim, device), ...this.fn.initState?.(options) };
  }

  /** Zeros beyond the ends, for the groups that are shifted. */
  private nothing(batch: number, dim: number, device?: Device): AttentionState {
    const { shifts } = this;
    const size = Math.floor(dim / shifts.length);
    return Object.fromEntries(
      shifts.flatMap((amount, i) =>
        amount === 0
          ? []
          : [[nameOf(i), zeros([batch, Math.abs(amount), size], device ? { device } : {})]],
      ),
    );
  }
}

function nameOf(group: number): string {
  return `shifted.${group}`;
}
