/**
 * A forecast of two related series, twelve months ahead: carbon dioxide in the air at Mauna Loa and over
 * all oceans, from `data/co2.csv`. Compared, on years held out, with the seasonal naive forecast: each
 * month as it was a year before.
 *
 *     pnpm example forecasting [--full]
 */

import { readFile } from "node:fs/promises";
import { Transformer, TransformerConfig } from "@x/miniformer";
import {
  collect,
  forecasting,
  numberField,
  readCsv,
  seriesWindows,
  Trainer,
} from "@x/miniformer/training";
import { manualSeed } from "@x/tensor";
import { isFull } from "./command-line.js";

const [context, horizon, year] = [24, 12, 12];
const file = await readFile(new URL("../data/co2.csv", import.meta.url));
const months = await collect(
  readCsv(file, {
    parse: (row) => ({
      month: Number(row.month!.slice(5)),
      levels: [numberField(row, "mauna_loa"), numberField(row, "global")],
    }),
  }),
);

// What happens every year is taken out: the model sees by how much each month differs from the same
// month a year before, on a common scale, and which month it is. A forecast of no change is the naive one.
const firstHeldOut = (1997 - 1980) * year;
const changes = months
  .slice(year)
  .map(({ levels }, i) => levels.map((level, series) => level - months[i]!.levels[series]!));
const known = changes.slice(0, firstHeldOut).flat();
const mean = known.reduce((sum, change) => sum + change, 0) / known.length;
const deviation = Math.sqrt(
  known.reduce((sum, change) => sum + (change - mean) ** 2, 0) / known.length,
);
const rows = changes.map((row, i) => {
  const angle = (2 * Math.PI * months[i + year]!.month) / year;
  return [...row.map((change) => (change - mean) / deviation), Math.sin(angle), Math.cos(angle)];
});
const windows = { context, horizon, targets: [0, 1] };
const heldOut = seriesWindows(rows, { ...windows, from: firstHeldOut });

manualSeed(1);
const config = TransformerConfig.tiny({
  ...{ inputDim: 4, outputDim: 2 * horizon, maxSeqLen: context, pooling: "last", dropout: 0.1 },
  ...(isFull ? { dModel: 64, nLayers: 2 } : { dModel: 32, nLayers: 1 }),
});
const trainer = new Trainer({
  model: new Transformer(config),
  task: forecasting({ inputDim: 4, loss: "mae" }),
  data: seriesWindows(rows, { ...windows, to: firstHeldOut }),
  validation: heldOut,
  batchSize: 16,
  steps: isFull ? 600 : 150,
  learningRate: 2e-3,
  schedule: "cosine",
  weightDecay: 0.1,
});
const { metrics } = await trainer.train();

/** Mean distances from what came, in parts per million: of the model, and of two simpler forecasts. */
export const errors: { model: number; naive: number; growing: number } = {
  model: metrics!.mae! * deviation,
  naive: meanError(() => 0),
  growing: meanError((place, series) => changes[place - 1]![series]!),
};

/** The mean error, over all held-out windows, of forecasting a change from the start of the window. */
function meanError(forecast: (place: number, series: number) => number): number {
  const distances: number[] = [];
  for (let place = firstHeldOut; place <= rows.length - horizon; place++) {
    for (const row of changes.slice(place, place + horizon)) {
      row.forEach((change, series) => distances.push(Math.abs(change - forecast(place, series))));
    }
  }
  return distances.reduce((sum, distance) => sum + distance, 0) / distances.length;
}

console.log(
  `Twelve months ahead, from ${heldOut.length} months of 1997 to 2002, the mean error is`,
);
console.log(`  ${errors.model.toFixed(3)} ppm of the transformer`);
console.log(`  ${errors.naive.toFixed(3)} ppm as a year before (seasonal naive)`);
console.log(`  ${errors.growing.toFixed(3)} ppm as a year before, and the last yearly growth`);
