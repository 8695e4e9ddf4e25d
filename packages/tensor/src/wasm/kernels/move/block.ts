/** Copying one contiguous block, the innermost step of everything that only moves data. */

import {
  type FunctionBuilder,
  type FunctionReference,
  i32,
  type I32,
  type ModuleBuilder,
  v128,
} from "../../assembler/index.js";

type Parameters = readonly [typeof i32, typeof i32, typeof i32];
type CopyBlock = FunctionReference<Parameters, null>;

// From here on the engine's own copy is faster than a loop of vectors; below, calling it costs more
// than the copy.
const bulk = 1024;

function copyBlockFunction(module: ModuleBuilder): CopyBlock {
  const key = "move/block";
  const found = module.get(key) as CopyBlock | undefined;
  if (found !== undefined) return found;
  return module.function<Parameters, null>(
    key,
    { parameters: [i32, i32, i32], result: null },
    (f, to, from, bytes) => {
      f.if(bytes.greaterEqualUnsigned(bulk), () => {
        f.memoryCopy(to, from, bytes);
        f.return();
      });
      f.if(bytes.greaterEqual(16), () => {
        // The last vector ends with the block and may overlap the one before.
        f.while(bytes.greater(16), () => {
          f.storeV128(to, v128.load(from));
          f.increment(to, 16);
          f.increment(from, 16);
          f.increment(bytes, -16);
        });
        f.increment(bytes, -16);
        f.storeV128(to.add(bytes), v128.load(from.add(bytes)));
        f.return();
      });
      const move = (size: number, copy: () => void): void => {
        f.if(bytes.and(size), () => {
          copy();
          f.increment(to, size);
          f.increment(from, size);
        });
      };
      move(8, () => {
        f.storeLane(64, to, v128.load64Zero(from), 0);
      });
      move(4, () => {
        f.storeI32(to, i32.load(from));
      });
      move(2, () => {
        f.storeI16(to, i32.load16Unsigned(from));
      });
      move(1, () => {
        f.storeI8(to, i32.load8Unsigned(from));
      });
    },
    { export: false },
  );
}

/** Copies `bytes` bytes between places that do not overlap; fast for blocks of any size. */
export function copyBlock(
  module: ModuleBuilder,
  f: FunctionBuilder,
  to: I32,
  from: I32,
  bytes: I32,
): void {
  f.call(copyBlockFunction(module), to, from, bytes);
}

/** The same for one element of `bytes` bytes. */
export function copyElement(f: FunctionBuilder, to: I32, from: I32, bytes: 1 | 2 | 4): void {
  if (bytes === 4) f.storeI32(to, i32.load(from));
  else if (bytes === 2) f.storeI16(to, i32.load16Unsigned(from));
  else f.storeI8(to, i32.load8Unsigned(from));
}
