/**
 * One token of linear attention: decoding.
 *
 * The state is read and written once, and each row of it is used while it is in registers:
 * state_r += k_r vᵀ, y += q_r state_r. Further query heads of a group read the new state.
 */

import {
  f32x4,
  type FunctionBuilder,
  i32,
  type I32,
  kernelSignature,
  type Local,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { loadPartial, storePartial } from "../attention/pack.js";

/** The argument words of a step. Strides are in bytes; outputs are dense. */
export const stepArguments = [
  "q",
  "k",
  "v",
  "state",
  "output",
  "finalState",
  "qBatch",
  "qHead",
  "kBatch",
  "kHead",
  "vBatch",
  "vHead",
  "stateBatch",
  "stateHead",
  "stateRow",
  "keyHeads",
  "group",
  "scale",
] as const;

type Word = (typeof stepArguments)[number];

/** The code of a step; a work item is one key head of one batch. */
export function stepCode(keySize: number, valueSize: number): KernelCode {
  const key = `linear-attention/step ${keySize}x${valueSize}`;
  const rowBytes = valueSize * 4;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, args, begin, end) => {
        const word = (name: Word): I32 => i32.load(args, stepArguments.indexOf(name) * 4);
        const scale = f.let(v128.load32Splat(args, stepArguments.indexOf("scale") * 4));
        const [item, group, row] = [f.local(i32), f.local(i32), f.local(i32)];
        const [from, to, kAt, qAt] = [f.local(i32), f.local(i32), f.local(i32), f.local(i32)];
        const [keyHeads, groups] = [f.let(word("keyHeads")), f.let(word("group"))];
        const [stateRow, qHead] = [f.let(word("stateRow")), f.let(word("qHead"))];
        const sums = f.localArray(v128, 4);
        const values = f.localArray(v128, 4);
        const [kSplat, qSplat, store] = [f.local(v128), f.local(v128), f.local(v128)];

        f.for(item, begin, end, 1, () => {
          const batch = f.let(item.divideUnsigned(keyHeads));
          const head = f.let(item.subtract(batch.multiply(keyHeads)));
          const place = (name: "k" | "v" | "state"): Local<I32> =>
            f.let<I32>(
              word(name)
                .add(batch.multiply(word(`${name}Batch`)))
                .add(head.multiply(word(`${name}Head`))),
            );
          const [k, v, state] = [place("k"), place("v"), place("state")];
          const q = f.let(
            word("q")
              .add(batch.multiply(word("qBatch")))
              .add(head.multiply(groups).multiply(qHead)),
          );
          const output = f.let(word("output").add(item.multiply(groups).multiply(rowBytes)));
          const finalState = f.let(word("finalState").add(item.multiply(keySize * rowBytes)));

          /** The columns at `offset` of the state, in up to four vectors of so many numbers. */
          const columns = (offset: I32, lanes: readonly number[]): void => {
            const vectors = lanes.map((n, i) => ({ n, i, at: i * 16 }));
            f.set<I32>(from, state.add(offset));
            f.set<I32>(to, finalState.add(offset));
            f.set<I32>(kAt, k);
            f.set<I32>(qAt, q);
            for (const { n, i, at } of vectors) {
              f.set<V128>(sums[i]!, v128.zero());
              f.set<V128>(values[i]!, loadPartial(v.add(offset), at, n));
            }
            f.for(row, 0, keySize, 1, () => {
              f.set<V128>(kSplat, v128.load32Splat(kAt));
              f.set<V128>(qSplat, v128.load32Splat(qAt));
              for (const { n, i, at } of vectors) {
                f.set<V128>(store, module.madd(kSplat, values[i]!, loadPartial(from, at, n)));
                storePartial(f, to, store, n, at);
                f.set<V128>(sums[i]!, module.madd(qSplat, store, sums[i]!));
              }
              f.increment(from, stateRow);
              f.increment(to, rowBytes);
              f.increment(kAt, 4);
              f.increment(qAt, 4);
            });
            const writeOutput = (head: I32): void => {
              for (const { n, i, at } of vectors) {
                f.set<V128>(store, f32x4.multiply(sums[i]!, scale));
                storePartial(f, output.add(head.multiply(rowBytes)).add(offset), store, n, at);
              }
            };
            writeOutput(i32.const(0));
            f.for(group, 1, groups, 1, () => {
              for (const { i } of vectors) f.set<V128>(sums[i]!, v128.zero());
              f.set<I32>(to, finalState.add(offset));
              f.set<I32>(qAt, q.add(group.multiply(qHead)));
              f.for(row, 0, keySize, 1, () => {
                f.set<V128>(qSplat, v128.load32Splat(qAt));
                for (const { n, i, at } of vectors) {
                  f.set<V128>(sums[i]!, module.madd(qSplat, loadPartial(to, at, n), sums[i]!));
                }
                f.increment(to, rowBytes);
                f.increment(qAt, 4);
              });
              writeOutput(group);
            });
          };
          forColumns(f, valueSize, columns);
        });
      });
    },
  };
}

/** Calls `body` for every sixteen columns, and for what is left. */
function forColumns(
  f: FunctionBuilder,
  size: number,
  body: (offset: I32, lanes: readonly number[]) => void,
): void {
  const whole = Math.floor(size / 16);
  if (whole > 0) {
    const offset = f.local(i32);
    f.for(offset, 0, whole * 64, 64, () => {
      body(offset, [4, 4, 4, 4]);
    });
  }
  const rest = size % 16;
  if (rest === 0) return;
  const lanes = Array.from({ length: Math.ceil(rest / 4) }, (_, i) => Math.min(4, rest - i * 4));
  body(i32.const(whole * 64), lanes);
}
