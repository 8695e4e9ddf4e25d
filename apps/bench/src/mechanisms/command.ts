/** `pnpm bench learn`: the slow suite that every mechanism must pass. */

import { setThreads } from "@x/tensor";
import { readCorpus } from "../main-job/corpus.js";
import { compareWithGoal, judge, learn } from "./learn.js";
import { mechanisms } from "./table.js";
import { copyTask, textTask } from "./tasks.js";

/** The names of the tasks. */
export const taskNames = ["copy", "text"] as const;

const textLength = 64;

/** What to learn, and with what. */
export interface LearnOptions {
  readonly only?: string;
  readonly task?: (typeof taskNames)[number];
  readonly seed: number;
  readonly threads: number;
}

/** Learns everything with every mechanism; gives how many goals were missed. */
export async function runLearning(
  { only, task: chosen, seed, threads }: LearnOptions,
  print: (line: string) => void,
): Promise<number> {
  setThreads(threads);
  const tasks = [copyTask, textTask(await readCorpus(textLength), textLength)];
  let missed = 0;
  for (const task of tasks.filter(({ name }) => chosen === undefined || chosen === name)) {
    for (const entry of mechanisms.filter(({ name }) => only === undefined || only === name)) {
      const start = performance.now();
      const model = await learn(entry, task, seed, (step, loss) => {
        process.stderr.write(`  ${task.name}, ${entry.name}: step ${step}, ${loss.toFixed(3)}\n`);
      });
      const { isReached, text } = compareWithGoal(task, await judge(model, task, seed));
      const seconds = ((performance.now() - start) / 1000).toFixed(0);
      print(`${isReached ? "✓" : "✗"} ${task.name} with ${entry.name}: ${text} (${seconds} s)`);
      if (!isReached) missed++;
    }
  }
  return missed;
}
