/** Running one checkpoint: loading it, and everything that was recorded of it. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { getDevice, setDevice, XError, type Device } from "@x/tensor";
import { fromPretrained, type Pretrained } from "@x/miniformer/pretrained";
import type { Finding } from "./compare.js";
import { readExpected, type Expected } from "./expected.js";
import { expectedFile, type CheckpointFolder } from "./find.js";
import { inputsOf, outputs, type Subject } from "./outputs.js";
import { compareSaved } from "./saved.js";

/** How a checkpoint went. */
export interface CheckpointResult {
  readonly outcome: "passed" | "failed" | "skipped";
  /** What was compared. */
  readonly compared: readonly string[];
  /** The finding that used up most of its tolerance. */
  readonly worst?: Finding;
  /** Why it failed or was skipped, one line per reason. */
  readonly reasons: readonly string[];
}

/** Runs one checkpoint on one device. */
export async function runCheckpoint(
  { path }: CheckpointFolder,
  device: Device,
): Promise<CheckpointResult> {
  if (!existsSync(join(path, expectedFile))) {
    return { outcome: "skipped", compared: [], reasons: [`it has no ${expectedFile}`] };
  }
  const before = getDevice();
  setDevice(device);
  try {
    const expected = await readExpected(join(path, expectedFile));
    const pretrained = await fromPretrained(path);
    try {
      return await compareAll(pretrained, expected);
    } finally {
      pretrained.model.dispose();
    }
  } catch (error) {
    return { outcome: "failed", compared: [], reasons: [describe(error)] };
  } finally {
    setDevice(before);
  }
}

async function compareAll(pretrained: Pretrained, expected: Expected): Promise<CheckpointResult> {
  const compared: string[] = [];
  const reasons: string[] = [];
  let worst: Finding | undefined;
  const attempt = async (name: string, compare: () => Promise<Finding>): Promise<void> => {
    try {
      const finding = await compare();
      compared.push(name);
      if (worst === undefined || severityOf(finding) > severityOf(worst)) worst = finding;
      if (!isGood(finding)) reasons.push(explain(finding));
    } catch (error) {
      reasons.push(`${name}: ${describe(error)}`);
    }
  };
  const { inputs, unknown } = inputsOf(expected);
  reasons.push(...unknown.map((name) => `${name}: an input of this name is not known`));
  const subject: Subject = { ...pretrained, expected, inputs };
  for (const [name, recorded] of expected.tensors) {
    if (name.startsWith("input.")) continue;
    const short = name.replace("output.", "");
    const output = name.startsWith("output.") ? outputs.get(short) : undefined;
    if (output === undefined) reasons.push(`${name}: a tensor of this name is not known`);
    else await attempt(short, async () => output(subject, name, recorded));
  }
  if (compared.length === 0 && reasons.length === 0) {
    reasons.push(`${expectedFile} holds nothing to compare`);
  }
  for (const layout of ["miniformer", "huggingface"] as const) {
    await attempt(`saved as ${layout}`, async () => compareSaved(pretrained, layout));
  }
  return {
    outcome: reasons.length === 0 ? "passed" : "failed",
    compared,
    ...(worst && { worst }),
    reasons,
  };
}

function isGood({ error, tolerance, problem }: Finding): boolean {
  return problem === undefined && error <= tolerance;
}

/** How much of its tolerance a finding uses up; infinite for problems. */
function severityOf({ error, tolerance, problem }: Finding): number {
  if (problem !== undefined) return Infinity;
  return error === 0 ? 0 : error / tolerance;
}

function explain({ tensor, error, tolerance, problem }: Finding): string {
  return `${tensor}: ${problem ?? `error ${error.toExponential(2)} above ${tolerance.toExponential(2)}`}`;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return XError.isInstance(error) ? error.message : `${error.name}: ${error.message}`;
}
