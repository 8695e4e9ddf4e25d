import { afterAll, expect, test } from "vitest";
import type { WorkerReport, WorkerRequest } from "./trainer-worker.js";

const folders: string[] = [];

afterAll(async () => {
  const root = await navigator.storage.getDirectory();
  for (const folder of folders) await root.removeEntry(folder, { recursive: true });
});

/** Trains in a worker, which is ended without notice at a step; gives all that it told. */
function train(request: WorkerRequest, end: number): Promise<WorkerReport[]> {
  const worker = new Worker(new URL("./trainer-worker.ts", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    const told: WorkerReport[] = [];
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.onmessage = ({ data }: MessageEvent<WorkerReport>) => {
      told.push(data);
      if (data.kind === "failed") reject(new Error(data.sentence));
      if (data.kind !== "end" && !(data.kind === "step" && data.step === end)) return;
      worker.terminate();
      resolve(told);
    };
    worker.postMessage(request);
  });
}

const makeFolder = (): string => {
  folders.push(`x-test-${crypto.randomUUID()}`);
  return folders.at(-1)!;
};

test("a worker that is ended goes on from its checkpoint as if nothing had happened", async () => {
  const steps = 20;
  const whole = await train({ folder: makeFolder(), steps }, Infinity);
  const folder = makeFolder();
  await train({ folder, steps }, 8);
  await train({ folder, steps }, 13);
  const rest = await train({ folder, steps }, Infinity);
  const [start] = rest;
  expect(start).toMatchObject({ kind: "start" });
  const step = start!.kind === "start" ? start!.step : 0;
  expect(step % 3).toBe(0);
  expect(step).toBeGreaterThanOrEqual(9);
  expect(rest.at(-1)).toEqual(whole.at(-1));
  expect(whole.length).toBe(steps + 2);
});
