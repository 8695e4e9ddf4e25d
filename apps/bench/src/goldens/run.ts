/** Running golden files, in Node and in pages. */

import { getDevice, setDevice, XError, type Device } from "@x/tensor";
import { findArea, type Part } from "./areas.js";
import { isGood, severityOf, type Finding } from "./compare.js";
import { evaluate } from "./evaluate.js";
import { readGoldenFile, type GoldenFile } from "./golden-file.js";

/** A golden file that was found. */
export interface FoundFile {
  readonly area: string;
  readonly name: string;
  readonly read: () => Promise<Uint8Array<ArrayBuffer>>;
}

/** How a case went on one device. */
export interface CaseResult {
  readonly outcome: "passed" | "failed" | "skipped";
  /** The finding that used up most of its tolerance. */
  readonly worst?: Finding;
  /** Why it failed or was skipped, one line per reason. */
  readonly reasons: readonly string[];
}

/** Runs one file on one device. */
export async function runGoldenFile(found: FoundFile, device: Device): Promise<CaseResult> {
  const before = getDevice();
  setDevice(device);
  try {
    const file = await readGoldenFile(await found.read(), found.area, found.name);
    const area = findArea(file.area);
    if (area === undefined) {
      return { outcome: "skipped", reasons: [`the area "${file.area}" is unknown`] };
    }
    return await runParts(file, area(file, device));
  } catch (error) {
    return { outcome: "failed", reasons: [describe(error)] };
  } finally {
    setDevice(before);
  }
}

async function runParts(file: GoldenFile, parts: readonly Part[]): Promise<CaseResult> {
  const reasons: string[] = [];
  let worst: Finding | undefined;
  for (const part of parts) {
    try {
      for (const finding of await evaluate(file, part)) {
        if (worst === undefined || severityOf(finding) > severityOf(worst)) worst = finding;
        if (!isGood(finding)) reasons.push(explain(finding));
      }
    } catch (error) {
      reasons.push(`${part.key === undefined ? "" : `${part.key}: `}${describe(error)}`);
    }
  }
  if (worst === undefined && reasons.length === 0) reasons.push("the file holds nothing to compare");
  return {
    outcome: reasons.length === 0 ? "passed" : "failed",
    ...(worst && { worst }),
    reasons,
  };
}

function explain({ tensor, error, tolerance, problem }: Finding): string {
  return `${tensor}: ${problem ?? `error ${error.toExponential(2)} above ${tolerance.toExponential(2)}`}`;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return XError.isInstance(error) ? error.message : `${error.name}: ${error.message}`;
}
