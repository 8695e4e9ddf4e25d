/** The attention suite in a worker: exact and linear attention for growing lengths. */

import { measure } from "../../src/bench/measure.js";
import { inputsOf } from "../../src/bench/peers/inputs.js";
import { onCurrentDevice } from "../../src/bench/peers/ours.js";
import type { AttentionTask, Prepared } from "../../src/bench/peers/peer.js";
import { attentionError } from "../../src/bench/suites/attention-reference.js";
import type { Control } from "./control.js";
import { chooseDevice, describeDevice } from "./device.js";
import type { AttentionRequest, Report } from "./messages.js";

const heads = 4;
const dim = 64;
const shortest = 64;
const effort = { rounds: 5, turnMilliseconds: 50 };

async function turn(prepared: Prepared, runs: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < runs; i++) await prepared.run();
  await prepared.settle?.();
  return performance.now() - start;
}

/** Times both kinds of attention for every length up to the longest, doubling it. */
export async function runAttention(
  { device, longest }: AttentionRequest,
  control: Control,
  tell: (report: Report) => void,
): Promise<void> {
  await chooseDevice(device);
  const peer = onCurrentDevice();
  for (let length = shortest; length <= longest && !control.signal.aborted; length *= 2) {
    tell({ kind: "status", sentence: `Measuring N = ${length} …` });
    const tasks = (["exact", "trim"] as const).map((kind): AttentionTask => {
      return { op: "attention", kind, heads, length, dim, backward: false };
    });
    const inputs = inputsOf(tasks[0]!);
    const prepared = await Promise.all(
      tasks.map(async (task) => (await peer.prepare(task, inputs))!),
    );
    const samples = await measure(
      prepared.map((one, i) => ({
        name: tasks[i]!.kind,
        turn: (runs) => turn(one, runs),
      })),
      effort,
    );
    const [exact, linear] = await Promise.all(
      tasks.map(async (task, i) => ({
        milliseconds: samples.get(task.kind)!.median,
        error: attentionError(task, inputs, await prepared[i]!.result()) ?? NaN,
      })),
    );
    for (const one of prepared) one.release();
    tell({ kind: "device", sentence: describeDevice() });
    tell({ kind: "row", row: { length, exact: exact!, linear: linear! } });
  }
  tell({ kind: "finished", sentence: control.signal.aborted ? "Stopped." : "Done." });
}
