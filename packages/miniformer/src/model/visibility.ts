/** Which positions see which, in a call of a stack of layers: worked out once for all layers. */

import { arange, ones, where, type Tensor } from "@x/tensor";
import { check, checkKeyMask, formatShape } from "@x/tensor/checks";
import {
  knownLength,
  rememberLength,
  withUpdates,
  type AttentionState,
  type Update,
} from "@x/tensor/nn";
import { alibiSlopes } from "./alibi.js";

/** What is asked of attention besides queries, keys and values. */
export interface AttentionGuide {
  /**
   * Bool, true where a query sees a key, or float32, added to the scores; broadcastable to
   * [batch, heads, queries, keys]. `null`: all are seen, or what `isCausal` and `window` say.
   */
  readonly mask: Tensor | null;
  /** Whether query i sees key j only if `j ≤ i + (keys − queries)`. */
  readonly isCausal: boolean;
  /** How many keys before and after its place a query sees, −1 for no limit; `null` for all. */
  readonly window: readonly [left: number, right: number] | null;
  /** Positions of the queries, int32 [1 or batch, 1, queries, 1]; padding is not counted. */
  readonly queryPositions: Tensor;
  /** Positions of the keys, int32 [1 or batch, 1, 1, keys]. */
  readonly keyPositions: Tensor;
  /** The same, but where `visible`, bool broadcastable to the mask, is false nothing is seen. */
  and(visible: Tensor): AttentionGuide;
}

/** What a {@link Visibility} is made of. */
export interface VisibilityCall {
  readonly batch: number;
  /** How many queries. */
  readonly length: number;
  /** How many keys, where they are those of a memory; else the queries stand for keys too. */
  readonly memoryLength?: number | null;
  readonly keyMask: Tensor | null;
  /** Bool or float32, broadcastable to [batch, heads, queries, keys]. */
  readonly mask: Tensor | null;
  readonly isCausal: boolean;
  /** What is remembered: `length`, and with masks `mask`; the keys have so many places. */
  readonly state: AttentionState | null;
  readonly capacity: number;
  /** How many heads have slopes, for ALiBi; 0 without. */
  readonly slopedHeads: number;
  /** Whether masks are always written out, as the reference does. */
  readonly isExplicit: boolean;
}

/** Which positions see which; guides for layers are made as they are asked for. */
export class Visibility {
  /** Where the new keys begin in the state. */
  readonly start: Tensor | null;
  private readonly call: VisibilityCall;
  /** The updates of the state's `length` and `mask` that the call has to make. */
  private readonly updates: readonly Update[];
  /** How many tokens the state held before, as far as that is known. */
  private readonly known: number | null;
  /** True where a key takes part, of all keys, [batch, keys]; `null` where all do. */
  private readonly keyMask: Tensor | null;
  private readonly guides: Map<number | null, AttentionGuide>;
  private places: readonly [query: Tensor, key: Tensor] | null;

  constructor(owner: string, call: VisibilityCall) {
    const { batch, length, memoryLength = null, keyMask, state, capacity } = call;
    this.call = call;
    this.guides = new Map();
    this.places = null;
    if (keyMask !== null) checkKeyMask(owner, keyMask, [batch, memoryLength ?? length]);
    this.start = null;
    this.keyMask = keyMask;
    this.updates = [];
    this.known = null;
    if (state === null) return;
    const { length: taken, mask = null } = state as Record<string, Tensor | undefined>;
    check(
      taken?.dtype === "int32" && taken.rank === 0,
      "argument",
      () =>
        `${owner}: a state has its length as int32 [], got ${taken === undefined ? "none" : `${taken.dtype} ${formatShape(taken.shape)}`}. Make it with initState().`,
    );
    check(
      keyMask === null || mask !== null,
      "argument",
      () =>
        `${owner}: a key mask needs a state that was made for masks, got another. Pass masked: true to initState().`,
    );
    this.known = knownLength(taken);
    const needed = (this.known ?? 0) + length;
    check(
      needed <= capacity,
      "argument",
      () =>
        `${owner}: the state has room for ${capacity} tokens, got ${needed}. Make it with a larger capacity.`,
    );
    const start = taken.detach();
    this.start = start;
    const updates: Update[] = [[taken, start.add(length)]];
    if (mask !== null) {
      const part = keyMask ?? ones([batch, length], { dtype: "bool" });
      this.keyMask = mask.dynamicUpdate(1, part, start);
      updates.push([mask, this.keyMask]);
    }
    this.updates = updates;
  }

  /** `output`, which when computed updates the state too, and whatever else is to be. */
  finish(output: Tensor, others: readonly Update[] = []): Tensor {
    const result = withUpdates(output, [...this.updates, ...others]);
    const taken = this.updates[0]?.[0];
    if (taken !== undefined && this.known !== null) {
      rememberLength(taken, this.known + this.call.length);
    }
    return result;
  }

  /** What layers whose positions see `window` others are to keep to. */
  guide(window: number | null): AttentionGuide {
    const known = this.guides.get(window);
    if (known !== undefined) return known;
    const guide = this.make(window);
    this.guides.set(window, guide);
    return guide;
  }

  private get keys(): number {
    const { state, capacity, memoryLength = null, length } = this.call;
    return state === null ? (memoryLength ?? length) : capacity;
  }

  private make(window: number | null): AttentionGuide {
    const { isCausal, slopedHeads, state, mask, isExplicit } = this.call;
    const { keyMask } = this;
    const isWritten = state !== null || isExplicit;
    // With padding between tokens, a window counts other places than the operation's own.
    const hasOwnWindow = window !== null && !isWritten && keyMask === null;
    let guide = this.plain(hasOwnWindow ? window : null);
    if (isWritten && isCausal) guide = guide.and(this.past());
    if (keyMask !== null) guide = guide.and(keyMask.unsqueeze(1).unsqueeze(1));
    if (mask?.dtype === "bool") guide = guide.and(mask);
    if (window !== null && !hasOwnWindow) {
      const distance = guide.queryPositions.sub(guide.keyPositions);
      const near = distance.lt(window);
      guide = guide.and(isCausal ? near : near.logicalAnd(distance.gt(-window)));
    }
    const bias = mask !== null && mask.dtype !== "bool" ? mask : null;
    if (bias !== null) guide = withBias(guide, bias);
    return slopedHeads === 0 ? guide : withBias(guide, this.slope(slopedHeads));
  }

  /** Without a mask. */
  private plain(window: number | null): AttentionGuide {
    const { isCausal, state, isExplicit } = this.call;
    const places = (): readonly [Tensor, Tensor] => (this.places ??= this.findPlaces());
    return guideOf({
      mask: null,
      isCausal: isCausal && state === null && !isExplicit,
      window: window === null ? null : [window - 1, isCausal ? -1 : window - 1],
      places,
    });
  }

  /** Keys that are not later than the query, [queries, keys]. */
  private past(): Tensor {
    const place = arange(this.call.length, { dtype: "int32" }).unsqueeze(-1);
    const { start } = this;
    return arange(this.keys, { dtype: "int32" }).le(start === null ? place : place.add(start));
  }

  private findPlaces(): readonly [query: Tensor, key: Tensor] {
    const { length, batch, memoryLength = null } = this.call;
    const { start, keyMask, keys } = this;
    const index = arange(length, { dtype: "int32" }).reshape([1, 1, length, 1]);
    if (keyMask === null || memoryLength !== null) {
      return [
        start === null ? index : index.add(start),
        arange(keys, { dtype: "int32" }).reshape([1, 1, 1, keys]),
      ];
    }
    const counted = keyMask.cumsum(1).sub(1);
    const queries = start === null ? counted : counted.dynamicSlice(1, start, length);
    return [queries.reshape([batch, 1, length, 1]), counted.reshape([batch, 1, 1, keys])];
  }

  /** What ALiBi adds to the scores. */
  private slope(heads: number): Tensor {
    const { isCausal, length } = this.call;
    const [query, key] = (this.places ??= this.findPlaces());
    const slopes = alibiSlopes(heads);
    if (!isCausal) return slopes.mul(query.sub(key).abs().float()).neg();
    // The same number for a whole row changes no weights: all rows take that of the last query.
    const last = query.narrow(2, length - 1, 1);
    return slopes.mul(key.sub(last).float());
  }
}

interface GuideParts {
  readonly mask: Tensor | null;
  readonly isCausal: boolean;
  readonly window: readonly [number, number] | null;
  readonly places: () => readonly [query: Tensor, key: Tensor];
}

function guideOf(parts: GuideParts): AttentionGuide {
  const { mask, isCausal, window, places } = parts;
  return {
    mask,
    isCausal,
    window,
    get queryPositions() {
      return places()[0];
    },
    get keyPositions() {
      return places()[1];
    },
    and(visible) {
      const joint =
        mask === null
          ? visible
          : mask.dtype === "bool"
            ? mask.logicalAnd(visible)
            : where(visible, mask, -Infinity);
      return guideOf({ ...parts, mask: joint });
    },
  };
}

/** The same with a number added to the scores. */
function withBias(guide: AttentionGuide, bias: Tensor): AttentionGuide {
  const { mask, isCausal, window } = guide;
  const joint =
    mask === null ? bias : mask.dtype === "bool" ? where(mask, bias, -Infinity) : mask.add(bias);
  return guideOf({
    mask: joint,
    isCausal,
    window,
    places: () => [guide.queryPositions, guide.keyPositions],
  });
}
