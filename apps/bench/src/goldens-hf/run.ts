/** Running one checkpoint: loading it, and everything that was recorded of it. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fromPretrained, type Pretrained } from "@x/miniformer/pretrained";
import { Findings, skip, type CaseResult } from "../recorded/case.js";
import type { Finding } from "../recorded/finding.js";
import { readExpected, type Expected } from "./expected.js";
import { inputsOf, outputs, type Subject } from "./outputs.js";
import { compareSaved } from "./saved.js";

/** Name of the file with what was recorded. */
export const expectedFile = "expected.safetensors";

/** Runs the checkpoint of a folder on the current device. */
export async function compareCheckpoint(path: string): Promise<CaseResult> {
  if (!existsSync(join(path, expectedFile))) return skip(`it has no ${expectedFile}`);
  const expected = await readExpected(join(path, expectedFile));
  const pretrained = await fromPretrained(path);
  try {
    return await compareAll(pretrained, expected);
  } finally {
    pretrained.model.dispose();
  }
}

async function compareAll(pretrained: Pretrained, expected: Expected): Promise<CaseResult> {
  const findings = new Findings();
  const compared: string[] = [];
  const compare = async (name: string, find: () => Promise<Finding>): Promise<void> => {
    if (await findings.gather(name, async () => [await find()])) compared.push(name);
  };
  const { inputs, unknown } = inputsOf(expected);
  for (const name of unknown) findings.complain(`${name}: an input of this name is not known`);
  const subject: Subject = { ...pretrained, expected, inputs };
  for (const [name, recorded] of expected.tensors) {
    if (name.startsWith("input.")) continue;
    const short = name.replace("output.", "");
    const output = name.startsWith("output.") ? outputs.get(short) : undefined;
    if (output === undefined) findings.complain(`${name}: a tensor of this name is not known`);
    else await compare(short, () => output(subject, name, recorded));
  }
  if (findings.isEmpty) findings.complain(`${expectedFile} holds nothing to compare`);
  for (const layout of ["miniformer", "huggingface"] as const) {
    await compare(`saved as ${layout}`, () => compareSaved(pretrained, layout));
  }
  return { ...findings.result, compared };
}
