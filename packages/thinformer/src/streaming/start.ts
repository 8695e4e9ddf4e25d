/** The first tokens of a state, as many as they are. */

import { fromData, type Tensor } from "@x/tensor";
import { withUpdates } from "@x/tensor/nn";
import { rowsAt } from "../attention/attend.js";
import { joined, part, pastSize, type Entries, type ThinformerState, type Tokens } from "./state.js";
import { grown } from "./step.js";
import { placesOf, type Level, type Tower } from "./tower.js";
import { attendWhole, compressWhole, massesOf, type Past } from "./whole.js";

/** The entries of a state's coresets, from those of the whole sequence. */
function coresetEntries(levels: readonly Level[], past: Past, tokens: Tokens): Entries {
  const total = pastSize(levels);
  // A state may have more levels than there are coresets of.
  const own = placesOf(past.levels, past.blocks, 4, past.blocks);
  const [places, masses] = [new Int32Array(total), new Float32Array(total)];
  places.set(own.places);
  masses.set(own.masses);
  const index = fromData(places, [total]);
  const kept = past.kept!.indexSelect(2, index);
  const weights = massesOf(past, tokens.takesPart).indexSelect(1, index);
  const isThere = fromData(masses, [total]).gt(0).cast("float32");
  return {
    keys: rowsAt(tokens.key, kept),
    values: rowsAt(tokens.value, kept),
    weights: weights.mul(isThere),
  };
}

/** The attention of the first tokens, and the state after them, by the form of whole sequences. */
export function startWith(
  tower: Tower,
  levels: readonly Level[],
  tokens: Tokens,
  state: ThinformerState,
): Tensor {
  const { blockSize } = tower.options;
  const { query, key, value, takesPart } = tokens;
  const inputs = { query, key, value, takesPart, dropout: 0, generator: null };
  const past = compressWhole(tower, inputs);
  const output = attendWhole(tower, inputs, past);
  const length = key.shape[2]!;
  const start = past.blocks * blockSize;
  const fill = blockSize - (length - start);
  const last = (x: Tensor): Tensor => x.narrow(2, start, length - start).pad([0, 0, 0, fill]);
  const block = {
    keys: last(key),
    values: last(value),
    weights: takesPart.narrow(1, start, length - start).pad([0, fill]),
  };
  let entries: Entries = block;
  if (levels.length > 0) {
    const before = part(state, 0, pastSize(levels));
    entries = joined(past.kept === null ? before : coresetEntries(levels, past, tokens), block);
  }
  return withUpdates(output, [
    [state.keys, entries.keys],
    [state.values, entries.values],
    [state.weights, entries.weights],
    [state.largest, grown(state.largest, value, null)],
    [state.length, state.length.add(length)],
  ]);
}
