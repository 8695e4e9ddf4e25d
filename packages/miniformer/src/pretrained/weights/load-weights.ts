/** Giving a model the tensors of a checkpoint. */

import { fromData, XError, type Device, type Shape, type Tensor } from "@x/tensor";
import type { Module } from "@x/tensor/nn";
import { misfit, storedShapes, toOwn, type Rule } from "./rule.js";
import type { StoredTensors } from "./stored-tensors.js";

/** What did not fit when a checkpoint was loaded; all are empty when everything did. */
export interface PretrainedReport {
  /** Tensors that the model needs and the checkpoint does not have; they keep initial numbers. */
  readonly missing: readonly string[];
  /** Tensors of the checkpoint that the model does not have. */
  readonly unexpected: readonly string[];
  /** Tensors of a head that such a model does not have here. They are no error. */
  readonly unused: readonly string[];
  /** Tensors of another shape, with both shapes; the model keeps its initial numbers. */
  readonly misfits: readonly string[];
  /** Files that the index names and that are not there. */
  readonly missingFiles: readonly string[];
  /** What else was found, in sentences. */
  readonly notes: readonly string[];
}

/** How the tensors of a checkpoint become those of a model. */
export interface Translation {
  readonly rules: readonly Rule[];
  /** Names of stored tensors that hold nothing that a model needs. */
  readonly ignored: readonly RegExp[];
  /** Names of stored tensors of a head that the model is loaded without. */
  readonly unused?: readonly RegExp[];
}

/** Options of {@link loadWeights}. */
export interface LoadWeightsOptions {
  /** Whether what does not fit is an error. */
  readonly strict: boolean;
  readonly device: Device | undefined;
  readonly notes: readonly string[];
}

/** Names of tensors in one message. */
const listed = 8;

function list(names: readonly string[]): string {
  const shown = names.slice(0, listed).join(", ");
  return names.length > listed ? `${shown} and ${names.length - listed} more` : shown;
}

/** A rule of which all stored tensors were found. */
interface FoundRule {
  readonly rule: Rule;
  /** The names that the stored tensors have. */
  readonly names: readonly string[];
  readonly own: readonly Shape[];
}

/** The names that each tensor of a module has, the first one first. */
export function namesOfTensors(module: Module): ReadonlyMap<Tensor, readonly string[]> {
  const names = new Map<Tensor, string[]>();
  for (const [name, tensor] of Object.entries(module.stateDict())) {
    const known = names.get(tensor);
    if (known === undefined) names.set(tensor, [name]);
    else known.push(name);
  }
  return names;
}

class Findings {
  readonly missing: string[] = [];
  readonly unexpected: string[] = [];
  readonly unused: string[] = [];
  readonly misfits: string[] = [];

  report(stored: StoredTensors, notes: readonly string[]): PretrainedReport {
    const { missing, unexpected, unused, misfits } = this;
    return { missing, unexpected, unused, misfits, missingFiles: [...stored.missingFiles], notes };
  }

  /** Refuses what does not fit. */
  check(model: Module, stored: StoredTensors): void {
    const complaints = [
      ["missing files", [...stored.missingFiles]],
      ["missing", this.missing],
      ["unexpected", this.unexpected],
      ["not fitting", this.misfits],
    ] as const;
    const found = complaints.filter(([, names]) => names.length > 0);
    if (found.length === 0) return;
    throw new XError(
      "checkpoint",
      `fromPretrained: the tensors must be those of ${model.constructor.name}, got ${found.map(([kind, names]) => `${kind} ${list(names)}`).join("; ")}. Check config.json and the files, or pass strict: false to load what fits.`,
    );
  }
}

/** Finds the stored tensors of every rule. */
function find(
  { rules, ignored, unused = [] }: Translation,
  own: Readonly<Record<string, Tensor>>,
  stored: StoredTensors,
  findings: Findings,
): FoundRule[] {
  const found: FoundRule[] = [];
  const used = new Set<string>();
  for (const rule of rules) {
    const shapes = rule.own.map((name) => own[name]!.shape);
    const names = rule.stored.map((aliases) => {
      const there = aliases.filter((name) => stored.names.has(name));
      for (const name of there) used.add(name);
      return there[0];
    });
    names.forEach((name, i) => {
      if (name === undefined) findings.missing.push(rule.stored[i]![0]!);
    });
    if (!names.includes(undefined)) found.push({ rule, names: names as string[], own: shapes });
  }
  const taken = new Set(found.flatMap(({ names }) => names));
  for (const name of stored.names) {
    if (!taken.has(name)) stored.done(name);
    if (used.has(name) || ignored.some((pattern) => pattern.test(name))) continue;
    const isUnused = unused.some((pattern) => pattern.test(name));
    (isUnused ? findings.unused : findings.unexpected).push(name);
  }
  return found;
}

/**
 * Gives a model the tensors of a checkpoint, one rule after the other. What is known to be wrong
 * without reading tensors is found before the first is read.
 */
export async function loadWeights(
  model: Module,
  translation: Translation,
  stored: StoredTensors,
  { strict, device, notes }: LoadWeightsOptions,
): Promise<PretrainedReport> {
  const findings = new Findings();
  const found = find(translation, model.stateDict(), stored, findings);
  const misfitting = new Set<FoundRule>();
  const compare = (one: FoundRule, shapes: readonly (Shape | null)[]): void => {
    const expected = storedShapes(one.rule, one.own);
    one.names.forEach((name, i) => {
      const shape = shapes[i] ?? null;
      const complaint = shape === null ? null : misfit(name, shape, expected[i]!);
      if (complaint === null) return;
      misfitting.add(one);
      findings.misfits.push(complaint);
    });
  };
  for (const one of found)
    compare(
      one,
      one.names.map((name) => stored.knownShape(name)),
    );
  if (strict) findings.check(model, stored);

  for (const one of found) {
    if (!misfitting.has(one)) {
      // Files behind a URL are fetched here, when their first tensor is needed.
      const shapes: (Shape | null)[] = [];
      for (const name of one.names) shapes.push(await stored.shape(name));
      one.names.forEach((name, i) => {
        if (shapes[i] === null) findings.missing.push(name);
      });
      compare(one, shapes);
      if (strict) findings.check(model, stored);
      if (!shapes.includes(null) && !misfitting.has(one)) await loadOne(model, one, stored, device);
    }
    for (const name of one.names) stored.done(name);
  }
  return findings.report(stored, notes);
}

async function loadOne(
  model: Module,
  { rule, names, own }: FoundRule,
  stored: StoredTensors,
  device: Device | undefined,
): Promise<void> {
  const read = [];
  for (const name of names) read.push(await stored.take(name));
  const { dtype } = read[0]!;
  const parts = toOwn(
    rule,
    read.map(({ elements }) => elements),
    own,
  );
  const state = Object.fromEntries(
    parts.map((elements, i) => {
      const options = device === undefined ? { dtype } : { dtype, device };
      return [rule.own[i]!, fromData(elements, own[i]!, options)];
    }),
  );
  model.loadStateDict(state, { strict: false });
}
