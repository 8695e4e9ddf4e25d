/** Indices that are data: limited to what there is, so that no index reads or writes elsewhere. */

import { type FunctionBuilder, i32, type I32, type Local } from "../../assembler/index.js";

/** Reads an index into `local` and limits it to 0 … `last`. */
export function readIndex(f: FunctionBuilder, local: Local<I32>, address: I32, last: I32): void {
  f.set<I32>(local, i32.load(address));
  f.set<I32>(local, local.minimum(last));
  f.set<I32>(local, local.maximum(0));
}
