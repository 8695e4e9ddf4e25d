import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dropout, manualSeed, ones, setDevice, XError, type Tensor } from "@x/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { devices } from "../../../tensor/test/devices.js";
import { SmallLanguageModel } from "../../test/small-models.js";
import { makeRun, type SmallRun } from "../../test/small-run.js";
import { inOrder, loadWeights } from "./checkpoint.js";
import { folderStorage } from "./folder-storage.js";
import { MemoryLog, jsonlLog } from "./logs.js";
import type { TrainingReport } from "./report.js";
import { MemoryStorage, type CheckpointStorage } from "./storage.js";

/** All reports of a run, without what the clock says. */
async function reportsOf(run: SmallRun): Promise<TrainingReport[]> {
  const reports: TrainingReport[] = [];
  for await (const report of run.run()) {
    reports.push(report.kind === "step" ? { ...report, perSecond: 0 } : report);
  }
  return reports;
}

/** The bits of all tensors of a checkpoint, and what it says besides. */
async function contents(storage: CheckpointStorage, name: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const file of ["model.safetensors", "optimizer.safetensors", "run.json"]) {
    found[file] = Buffer.from((await storage.read(name, file))!).toString("base64");
  }
  return found;
}

const options = { evaluateEvery: 7, saveEvery: 3, keepLast: 2, keepBest: 2 };

// The reference computes in float64, more than a checkpoint holds.
const exact = devices.filter(([name]) => name !== "reference");

describe.each(exact)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
  });

  const steps = 40;
  const stops = [[1], [7, 8, 20], [21, 33], [39]];

  test.each(stops.map((at) => [at]))(
    "a run that is stopped after steps %j does what one does that is not",
    async (at) => {
      manualSeed(3);
      const whole = new MemoryStorage();
      const expected = await reportsOf(makeRun({ ...options, steps, storage: whole }));

      const storage = new MemoryStorage();
      const stepsSeen = new Map<string, TrainingReport>();
      for (const stop of [...at, Infinity]) {
        // Another process would have drawn other numbers before, or none.
        manualSeed(stop === at[0] ? 3 : 99);
        const abort = new AbortController();
        const run = makeRun({
          ...options,
          steps,
          storage,
          resume: true,
          signal: abort.signal,
          // What callbacks draw has no influence.
          onCheckpoint: () => void dropout(ones([2])),
          onStep: ({ step }) => {
            if (step === stop) abort.abort();
          },
        });
        const reports = await reportsOf(run);
        expect(reports.at(-1)).toMatchObject({
          kind: "checkpoint",
          step: Math.min(stop, steps),
        });
        for (const report of reports) {
          if (report.kind === "step" || report.kind === "evaluation") {
            const key = `${report.kind} ${report.step}`;
            expect(stepsSeen.has(key)).toBe(false);
            stepsSeen.set(key, report);
          }
        }
      }
      expect([...stepsSeen.values()]).toEqual(
        expected.filter(({ kind }) => kind === "step" || kind === "evaluation"),
      );
      const [last, lastOfWhole] = [await storage.list(), await whole.list()].map((names) =>
        inOrder(names).at(-1)!,
      );
      const [found, wanted] = [await contents(storage, last!), await contents(whole, lastOfWhole!)];
      expect(found["model.safetensors"]).toBe(wanted["model.safetensors"]);
      expect(found["optimizer.safetensors"]).toBe(wanted["optimizer.safetensors"]);
    },
  );
});

describe("a run that is stopped", () => {
  beforeAll(() => {
    setDevice(devices.at(-1)![1]);
  });

  test("in an evaluation makes it when it goes on", async () => {
    const storage = new MemoryStorage();
    const abort = new AbortController();
    const signal = abort.signal;
    const first = makeRun({ ...options, steps: 20, storage, signal });
    // Stopped between two batches of the first evaluation.
    const forward = first.model.forward.bind(first.model);
    first.model.forward = (tokens: Tensor): Tensor => {
      if (!first.model.training) abort.abort();
      return forward(tokens);
    };
    const reports = await reportsOf(first);
    expect(reports.some(({ kind }) => kind === "evaluation")).toBe(false);
    expect(reports.at(-1)).toMatchObject({ kind: "checkpoint", step: 7 });
    const second = await reportsOf(makeRun({ ...options, steps: 20, storage, resume: true }));
    expect(second.slice(0, 3)).toMatchObject([
      { kind: "start", step: 7, resumedFrom: "step-000007" },
      { kind: "evaluation", step: 7 },
      { kind: "checkpoint", step: 7, name: "step-000007-2" },
    ]);
  });

  test("leaves no row of its log to be written twice", async () => {
    const storage = new MemoryStorage();
    const file = new MemoryLog();
    const logs = [jsonlLog(file)];
    for await (const report of makeRun({ ...options, steps: 20, storage, logs }).run()) {
      // As if it was killed: step 8 is in the log and in no checkpoint, and half a row was written.
      if (report.kind === "step" && report.step === 8) break;
    }
    await file.append('{"kind":"st');
    await makeRun({ ...options, steps: 20, storage, logs, resume: true }).train();
    const rows = file.text
      .trim()
      .split("\n")
      .map((row) => JSON.parse(row) as { readonly kind: string; readonly step: number });
    const stepRows = rows.filter(({ kind }) => kind === "step");
    expect(stepRows.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });

  test("must go on with the same data, in a storage that was meant", async () => {
    const storage = new MemoryStorage();
    await makeRun({ ...options, steps: 4, storage }).train();
    await expect(makeRun({ steps: 4, storage }).train()).rejects.toThrow(
      'Trainer: the storage of a new run must be empty, got one with checkpoint "step-000004". Pass resume: true to go on with it, or another storage.',
    );
    const other = makeRun({ steps: 4, storage, resume: true, batchSize: 2 });
    await expect(other.train()).rejects.toThrow(
      "Trainer: a run must go on with the same data, got batchSize 2 for 3. Give what it began with.",
    );
    const name = "step-000004";
    const files = new Map(storage.files(name)).set("run.json", new TextEncoder().encode("{}"));
    await storage.write(name, files);
    await expect(makeRun({ steps: 4, storage, resume: true }).train()).rejects.toThrow(
      'got "step-000004" (run.json lacks what a run needs)',
    );
    await storage.write(name, new Map());
    await expect(makeRun({ steps: 4, storage, resume: true }).train()).rejects.toThrow(
      'got "step-000004" (run.json is missing)',
    );
    await expect(
      loadWeights(new SmallLanguageModel(16), new MemoryStorage(), "best"),
    ).rejects.toThrow('loadWeights: the storage must hold the checkpoint, got no "best" among 0.');
    for (const note of ["{", '{"best": "step-000004"}', '{"best": [null]}']) {
      await storage.writeNote("last.json", new TextEncoder().encode(note));
      const error: unknown = await loadWeights(new SmallLanguageModel(16), storage, "best").catch(
        (thrown: unknown) => thrown,
      );
      expect(XError.isInstance(error) && error.code).toBe("checkpoint");
      expect(String(error)).toContain(
        "loadWeights: last.json must say which checkpoints are the best",
      );
    }
  });
});

describe("a run that is killed", () => {
  const folders: string[] = [];
  afterAll(async () => {
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  });
  const makeFolder = async (): Promise<string> => {
    folders.push(await mkdtemp(join(tmpdir(), "x-killed-")));
    return folders.at(-1)!;
  };

  const program = new URL("../../test/programs/train.ts", import.meta.url).pathname;
  const isThorough = process.env.X_THOROUGH !== undefined;
  const kills = isThorough ? 20 : 5;
  // So many that runs do not come to the end between the kills.
  const steps = isThorough ? 900 : 150;

  /** Runs the program; kills it some milliseconds after it told of a start or checkpoint so often. */
  async function runFor(folder: string, told: number, milliseconds: number): Promise<string> {
    const child = spawn(process.execPath, [
      ...["--conditions=@x/source", "--import", "tsx", program, folder, String(steps)],
    ]);
    let output = "";
    child.stderr.on("data", (text: Buffer) => (output += text.toString()));
    let isDoomed = false;
    child.stdout.on("data", (text: Buffer) => {
      output += text.toString();
      if (isDoomed || output.split("\n").length <= told) return;
      isDoomed = true;
      setTimeout(() => child.kill("SIGKILL"), milliseconds);
    });
    await new Promise((resolve) => child.on("close", resolve));
    return output;
  }

  const timeout = 60_000 + 15_000 * kills;
  test("loses nothing before its last complete checkpoint", { timeout }, async () => {
    const whole = await makeFolder();
    expect(await runFor(whole, Infinity, 0)).toContain("end");
    let folder = await makeFolder();
    let known = 0;
    let newest = 0;
    let seed = 12345;
    for (let killed = 0; killed < kills;) {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      const output = await runFor(folder, 1 + (killed % 3), seed % 40);
      expect(output).toMatch(/^start \d+\n/);
      // It went on from a checkpoint at least as new as the last that was reported before.
      const started = Number(/^start (\d+)/.exec(output)![1]);
      expect(started).toBeGreaterThanOrEqual(known);
      const reported = [...output.matchAll(/^checkpoint (\d+)$/gm)].map(([, step]) => Number(step));
      known = Math.max(started, ...reported);
      newest = Math.max(newest, known);
      const storage = folderStorage(folder);
      const names = inOrder(await storage.list());
      if (known > 0) {
        const last = Number(/^step-(\d+)/.exec(names.at(-1)!)![1]);
        expect(last).toBeGreaterThanOrEqual(known);
        expect(await loadWeights(new SmallLanguageModel(16), storage)).toBe(names.at(-1));
      }
      if (output.includes("end")) {
        // It was faster than the one who was to kill it: that does not count.
        folder = await makeFolder();
        known = 0;
      } else killed++;
    }
    expect(newest).toBeGreaterThan(0);
    expect(await runFor(folder, Infinity, 0)).toContain("end");
    const last = `step-${String(steps).padStart(6, "0")}`;
    const [found, wanted] = [folder, whole].map((each) => contents(folderStorage(each), last));
    for (const file of ["model.safetensors", "optimizer.safetensors"]) {
      expect((await found!)[file]).toBe((await wanted!)[file]);
    }
    expect((await readdir(folder)).filter((name) => /partial|new/.test(name))).toEqual([]);
    const logged = (await readFile(join(folder, "log.csv"), "utf8"))
      .split("\n")
      .slice(1, -1)
      .filter((row) => row.split(",")[2] !== "")
      .map((row) => Number(row.split(",")[0]));
    expect(logged).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
  });
});
