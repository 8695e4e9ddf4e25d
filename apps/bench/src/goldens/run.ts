/** Running golden files, in Node and in pages. */

import type { Device } from "@x/tensor";
import { Findings, runOn, skip, type CaseResult, type RecordedCase } from "../recorded/case.js";
import { findArea } from "./areas.js";
import { evaluate } from "./evaluate.js";
import { readGoldenFile } from "./golden-file.js";

/** The case in the file `<area>/<name>.safetensors`, whose bytes `read` gives. */
export function goldenCase(
  area: string,
  name: string,
  read: () => Promise<Uint8Array<ArrayBuffer>>,
): RecordedCase {
  const compare = async (device: Device): Promise<CaseResult> => {
    const file = await readGoldenFile(await read(), area, name);
    const partsOf = findArea(file.area);
    if (partsOf === undefined) return skip(`the area "${file.area}" is unknown`);
    const findings = new Findings();
    for (const part of partsOf(file, device)) {
      await findings.gather(part.key ?? null, () => evaluate(file, part));
    }
    return findings.result;
  };
  return { name: `${area}/${name}`, run: (device) => runOn(device, () => compare(device)) };
}
