/**
 * One token of linear attention: decoding.
 *
 * The state is read and written once, and each row of it is used while it is in registers:
 * state_r += k_r vᵀ, y += q_r state_r. Further query heads of a group read the new state.
 */

import { f32x4, i32, type I32, i32x4, v128 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { WordReader } from "../arguments.js";
import { forColumns } from "../attention/direct.js";
import { loadPartial, storePartial } from "../attention/pack.js";
import { divide, integers, kernelCode, vectors as vectorLocals } from "../code.js";

/**
 * The code of a step; a work item is one key head of one batch. Its words: views of q, k, v and the
 * state, the addresses of output and final state, which are dense, the numbers of key heads and of
 * query heads that share one, and the scale.
 */
export function stepCode(keySize: number, valueSize: number): KernelCode {
  const key = `linear-attention/step ${keySize}x${valueSize}`;
  const rowBytes = valueSize * 4;
  return kernelCode(key, ({ module, f }, words) => {
    const read = new WordReader(f, words);
    const [q, k, v, state] = [read.view(4), read.view(4), read.view(4), read.view(4)];
    const [output, finalState, keyHeads, groups, scaleWord] = read.words(5);
    const scale = f.let(i32x4.splat(scaleWord));
    const [group, row, from, to, kAt, qAt, writeAt] = integers(f, 7);
    const [sums, values] = [f.localArray(v128, 4), f.localArray(v128, 4)];
    const [kSplat, qSplat, store] = vectorLocals(f, 3);

    return (item) => {
      const [batch, head] = divide(f, item, keyHeads);
      const [kStart, vStart] = [f.let(k.at(batch, head)), f.let(v.at(batch, head))];
      const stateStart = f.let(state.at(batch, head));
      const finalStart = f.let(finalState.add(item.multiply(keySize * rowBytes)));
      forColumns(f, valueSize, 4, (offset, parts) => {
        const each = (body: (i: number, at: number, lanes: number) => void): void => {
          parts.forEach(([at, lanes], i) => {
            body(i, at, lanes);
          });
        };
        // The output of one query head: its numbers times rows of the state, which `next` gives.
        const query = (number: I32, next: (i: number, at: number, lanes: number) => void): void => {
          f.set<I32>(qAt, q.at(batch, head.multiply(groups).add(number)));
          f.set<I32>(to, finalStart.add(offset));
          each((i) => {
            f.set(sums[i]!, v128.zero());
          });
          f.for(row, 0, keySize, 1, () => {
            f.set(kSplat, v128.load32Splat(kAt));
            f.set(qSplat, v128.load32Splat(qAt));
            each((i, at, lanes) => {
              next(i, at, lanes);
              f.set(sums[i]!, module.madd(qSplat, store, sums[i]!));
            });
            f.increment(from, state.strides[2]!);
            f.increment(to, rowBytes);
            f.increment(kAt, 4);
            f.increment(qAt, 4);
          });
          f.set<I32>(writeAt, output.add(item.multiply(groups).add(number).multiply(rowBytes)));
          f.increment(writeAt, offset);
          each((i, at, lanes) => {
            storePartial(f, writeAt, f.let(f32x4.multiply(sums[i]!, scale)), lanes, at);
          });
        };
        f.set<I32>(from, stateStart.add(offset));
        f.set<I32>(kAt, kStart);
        each((i, at, lanes) => {
          f.set(values[i]!, loadPartial(vStart.add(offset), at, lanes));
        });
        query(i32.const(0), (i, at, lanes) => {
          f.set(store, module.madd(kSplat, values[i]!, loadPartial(from, at, lanes)));
          storePartial(f, to, store, lanes, at);
        });
        f.for(group, 1, groups, 1, () => {
          f.set<I32>(kAt, kStart);
          query(group, (_, at, lanes) => {
            f.set(store, loadPartial(to, at, lanes));
          });
        });
      });
    };
  });
}
