/** Computing a case and comparing everything that was recorded. */

import { realize, type Tensor } from "@x/tensor";
import { compareTensor, type Finding } from "./compare.js";
import type { Part } from "./areas.js";
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
  const isTensor = (output: Output | null | undefined): output is Tensor =>
    output !== null && typeof output === "object" && "dtype" in output;
  await realize(...[...computed.values()].filter(isTensor));

  const findings: Finding[] = [];
  for (const [own, output] of computed) {
    const expected = subject.golden(own);
    const name = key === undefined ? own : own.replace(".", `.${key}.`);
    if (!output) {
      const problem = "it must be computed, got nothing";
      findings.push({ tensor: name, error: Infinity, tolerance: 0, problem });
    } else if (isTensor(output)) {
      const data = await output.data();
      findings.push(compareTensor(file, name, { shape: output.shape, data }, expected));
    } else {
      findings.push(compareTensor(file, name, { shape: [output.length], data: output }, expected));
    }
  }
  return findings;
}

/** Σ output · cotangent over the outputs that have a cotangent. */
function lossOf(subject: Subject, outputs: ReadonlyMap<string, Output>): Tensor | null {
  let loss: Tensor | null = null;
  for (const name of subject.names("cotangent")) {
    const output = outputs.get(name);
    if (output === undefined || !("dtype" in output)) continue;
    const part = output.mul(subject.leaf(`cotangent.${name}`)).sum();
    loss = loss === null ? part : loss.add(part);
  }
  return loss;
}
