/**
 * The scan: linear attention chunk by chunk, with the state of one head in scratch memory.
 *
 * A scan has rows, which are given an output, and columns, which have a key and a value:
 *
 *   output_i = row_i · (state + Σ_j key_j valueᵀ_j) over the columns j that row i sees.
 *
 * Forward, a row sees columns that come first; in reverse, those that come last. One scan computes the
 * output of cumulative linear attention and three compute its gradients:
 *
 *   scan                rows  keys  values  state
 *   forward  → y        q     k     v       S
 *   forward  → dq       dy    v     k       Sᵀ
 *   reverse  → dk       v     dy    q       dSᵀ
 *   reverse  → dv       k     q     dy      dS
 *
 * The keys are cut into chunks. A query is taken with the chunk of the last key that it sees: what it
 * sees of the chunk's keys comes from their scores, the rest from the state. With a mask the queries are
 * taken in the order of what they see, so the work is linear in the length for every mask.
 *
 * A work item is one head's whole sequence, or one block of its values' columns: the blocks share
 * nothing but the scores, so the numbers do not depend on how many there are.
 *
 * Where whole heads are work items, the two reverse scans are one. Both take the same columns, with
 * keys and values exchanged, and so their states are each other's transpose: one of them is kept up to
 * date, and copied for the other after every chunk.
 *
 * The order of the steps is that of `traversal.ts`; scans of feature attention take it too.
 */

import type { KernelCode } from "../../launch.js";
import { kernelCode } from "../code.js";
import { scanLayout, type ScanSpec, scanSteps, scanWords, twinOf } from "./steps.js";
import { scanItems, type ScanSteps } from "./traversal.js";

/**
 * The code of a scan, or of a pair of them; a work item is one block of one key head of one batch.
 */
export function scanCode(spec: ScanSpec, isPair: boolean): KernelCode {
  const key = `linear-attention/${isPair ? "pair" : "scan"} ${Object.values(spec).join(" ")}`;
  return kernelCode(key, (c, words, scratch) => {
    const { f } = c;
    const scan = scanSteps(c, spec, words, scratch);
    const scans: [ScanSteps, ...ScanSteps[]] = [scan];
    if (isPair) {
      const [beyond, room] = [words.add(scanWords * 4), scratch.add(scanLayout(spec).bytes)];
      scans.push(scanSteps(c, twinOf(spec), f.let(beyond), f.let(room), scan));
    }
    return scanItems(c, spec, scans);
  });
}
