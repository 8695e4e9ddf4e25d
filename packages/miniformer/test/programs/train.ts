/**
 * Trains a tiny model with checkpoints in a folder, going on from the last one there: what the tests
 * of interrupted runs kill. Arguments: the folder, and the number of steps.
 */

import { manualSeed } from "@x/tensor";
import { folderStorage } from "../../src/training/folder-storage.js";
import { csvLog, logFile } from "../../src/training/logs.js";
import { makeRun } from "../small-run.js";

const [folder, steps] = process.argv.slice(2) as [string, string];
manualSeed(3);
const trainer = makeRun({
  steps: Number(steps),
  storage: folderStorage(folder),
  resume: true,
  saveEvery: 3,
  evaluateEvery: 7,
  keepLast: 2,
  keepBest: 2,
  logs: [csvLog(logFile(`${folder}/log.csv`))],
});
for await (const report of trainer.run()) {
  if (report.kind === "start" || report.kind === "checkpoint") {
    process.stdout.write(`${report.kind} ${report.step}\n`);
  }
}
process.stdout.write("end\n");
