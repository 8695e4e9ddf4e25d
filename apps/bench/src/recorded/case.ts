/** Running one recorded case on a device, in Node and in pages. */

import { getDevice, setDevice, XError, type Device } from "@x/tensor";
import { explain, isGood, severityOf, type Finding } from "./finding.js";

/** How a case went on one device. */
export interface CaseResult {
  readonly outcome: "passed" | "failed" | "skipped";
  /** The finding that used up most of its tolerance. */
  readonly worst?: Finding;
  /** What was compared, where that is to be told. */
  readonly compared?: readonly string[];
  /** Why it failed or was skipped, one line per reason. */
  readonly reasons: readonly string[];
}

/** Something recorded that can be computed again. */
export interface RecordedCase {
  readonly name: string;
  readonly run: (device: Device) => Promise<CaseResult>;
}

/** Gathers what the comparisons of a case find. */
export class Findings {
  private readonly reasons: string[] = [];
  private worst: Finding | undefined;

  /**
   * Compares something; an error is a reason to fail. Without a name it is the whole case. Gives whether
   * it could be compared.
   */
  async gather(name: string | null, compare: () => Promise<readonly Finding[]>): Promise<boolean> {
    try {
      for (const finding of await compare()) {
        if (this.worst === undefined || severityOf(finding) > severityOf(this.worst)) {
          this.worst = finding;
        }
        if (!isGood(finding)) this.complain(explain(finding));
      }
      return true;
    } catch (error) {
      this.complain(name === null ? describe(error) : `${name}: ${describe(error)}`);
      return false;
    }
  }

  /** Notes a reason to fail. */
  complain(reason: string): void {
    this.reasons.push(reason);
  }

  /** Whether there is neither a finding nor a reason to fail. */
  get isEmpty(): boolean {
    return this.worst === undefined && this.reasons.length === 0;
  }

  /** How the case went. */
  get result(): CaseResult {
    const { reasons, worst } = this;
    if (this.isEmpty) return failure("there is nothing to compare");
    const outcome = reasons.length === 0 ? "passed" : "failed";
    return { outcome, ...(worst && { worst }), reasons };
  }
}

/** What cannot be compared here, and why. */
export function skip(reason: string): CaseResult {
  return { outcome: "skipped", reasons: [reason] };
}

/** Runs a case while everything computes on `device`; an error is a failure. */
export async function runOn(device: Device, run: () => Promise<CaseResult>): Promise<CaseResult> {
  const before = getDevice();
  setDevice(device);
  try {
    return await run();
  } catch (error) {
    return failure(describe(error));
  } finally {
    setDevice(before);
  }
}

function failure(reason: string): CaseResult {
  return { outcome: "failed", reasons: [reason] };
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return XError.isInstance(error) ? error.message : `${error.name}: ${error.message}`;
}
