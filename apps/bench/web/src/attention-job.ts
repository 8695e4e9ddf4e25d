/** The attention suite in a worker: softmax and other mechanisms for growing lengths. */

import { measure } from "../../src/bench/measure.js";
import { inputsOf } from "../../src/bench/peers/inputs.js";
import { onCurrentDevice } from "../../src/bench/peers/ours.js";
import type { AttentionTask, Prepared } from "../../src/bench/peers/peer.js";
import { attentionError } from "../../src/bench/suites/attention-reference.js";
import type { Control } from "./control.js";
import { chooseDevice, describeDevice } from "./device.js";
import type { AttentionRequest, MeasuredAttention, Report } from "./messages.js";

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

/** The distance of two results over the size of the second, both as root mean squares. */
function distance(result: Float32Array, exact: Float32Array): number {
  let [apart, size] = [0, 0];
  exact.forEach((value, i) => {
    apart += (result[i]! - value) ** 2;
    size += value ** 2;
  });
  return Math.sqrt(apart / size);
}

/** Times mechanisms in turn for one length; the first is what the others are compared with. */
async function measureAt(
  length: number,
  mechanisms: readonly string[],
): Promise<MeasuredAttention[]> {
  const peer = onCurrentDevice();
  const tasks = mechanisms.map((kind): AttentionTask => {
    return { op: "attention", kind, heads, length, dim, backward: false };
  });
  const inputs = inputsOf(tasks[0]!);
  const prepared: Prepared[] = [];
  for (const task of tasks) prepared.push((await peer.prepare(task, inputs))!);
  const samples = await measure(
    prepared.map((one, i) => ({ name: mechanisms[i]!, turn: (runs) => turn(one, runs) })),
    effort,
  );
  const results: Float32Array[] = [];
  for (const one of prepared) {
    results.push(await one.result());
    one.release();
  }
  return tasks.map((task, i) => ({
    mechanism: task.kind,
    milliseconds: samples.get(task.kind)!.median,
    error: attentionError(task, inputs, results[i]!),
    distance: distance(results[i]!, results[0]!),
  }));
}

/** Times the chosen mechanisms for every length up to the longest, doubling it. */
export async function runAttention(
  { device, longest, mechanisms }: AttentionRequest,
  control: Control,
  tell: (report: Report) => void,
): Promise<void> {
  await chooseDevice(device);
  for (let length = shortest; length <= longest && !control.signal.aborted; length *= 2) {
    tell({ kind: "status", sentence: `Measuring N = ${length} …` });
    const measured = await measureAt(length, mechanisms);
    tell({ kind: "device", sentence: describeDevice() });
    tell({ kind: "row", row: { length, measured } });
  }
  tell({ kind: "finished", sentence: control.signal.aborted ? "Stopped." : "Done." });
}
