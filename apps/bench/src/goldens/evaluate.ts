/** Computing a case and comparing everything that was recorded. */

import { realize, Tensor } from "@x/tensor";
import { problemWith, type Finding } from "../recorded/finding.js";
import type { Part } from "./parts.js";
import { compareTensor } from "./compare.js";
import type { GoldenFile } from "./golden-file.js";
import type { Output, Subject } from "./subject.js";

/** Runs a part of a file and compares its outputs and gradients. */
export async function evaluate(file: GoldenFile, part: Part): Promise<Finding[]> {
  const { key, subject, runner } = part;
  const { outputs, parameters } = await runner(subject);
  const produced = new Map(Object.entries(outputs));
  const loss = lossOf(subject, produced);
  if (loss !== null && subject.names("grad").length > 0) loss.backward();

  const computed = new Map<string, Output | null | undefined>();
  for (const name of subject.names("output")) computed.set(`output.${name}`, produced.get(name));
  for (const name of subject.names("grad")) {
    const leaf = parameters?.get(name) ?? subject.usedLeaf(name);
    computed.set(`grad.${name}`, leaf?.grad);
  }
  await realize(...[...computed.values()].filter((output) => output instanceof Tensor));

  const findings: Finding[] = [];
  for (const [own, output] of computed) {
    const expected = subject.golden(own);
    const name = key === undefined ? own : own.replace(".", `.${key}.`);
    if (!output) {
      findings.push(problemWith(name, "it must be computed, got nothing"));
    } else {
      const data = output instanceof Tensor ? await output.data() : output.data;
      findings.push(compareTensor(file, name, { shape: output.shape, data }, expected));
    }
  }
  return findings;
}

/** Σ output · cotangent over the outputs that have a cotangent. */
function lossOf(subject: Subject, outputs: ReadonlyMap<string, Output>): Tensor | null {
  let loss: Tensor | null = null;
  for (const name of subject.names("cotangent")) {
    const output = outputs.get(name);
    if (!(output instanceof Tensor)) continue;
    const part = output.mul(subject.leaf(`cotangent.${name}`)).sum();
    loss = loss === null ? part : loss.add(part);
  }
  return loss;
}
