/** Token shift: parts of each vector come from neighbouring positions. */

import type { Device, Tensor } from "@x/tensor";
import type { AttentionState, Update } from "@x/tensor/nn";
import {
  cat,
  checkNumbers,
  getDevice,
  Module,
  whole,
  wholeFrom,
  withUpdates,
  zeros,
} from "../engine.js";
import { checkCounts, checkSequence, checkShape } from "../checks.js";
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
    checkCounts(owner, { "shifts.length": shifts.length });
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
        `the dim must be at least that of ${shifts.length} shifts, got ${shape}. Reshape it.`,
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
      const all = cat(amount > 0 ? [beyond, tokens] : [tokens, beyond], 1);
      if (state !== null) updates.push([beyond, all.narrow(1, length, amount)]);
      return all.narrow(1, Math.max(-amount, 0), length);
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
    checkNumbers(owner, wholeFrom(0), { "shifts with a state": [...this.shifts] });
    return { ...this.nothing(batch, dim, device), ...this.fn.initState?.(options) };
  }

  /** Zeros beyond the ends, for the groups that are shifted. */
  private nothing(batch: number, dim: number, device: Device = getDevice()): AttentionState {
    const size = Math.floor(dim / this.shifts.length);
    const groups = this.shifts.map((amount, i) => [nameOf(i), Math.abs(amount)] as const);
    return Object.fromEntries(
      groups
        .filter(([, amount]) => amount > 0)
        .map(([name, amount]) => [name, zeros([batch, amount, size], { device })]),
    );
  }
}

function nameOf(group: number): string {
  return `shifted.${group}`;
}
