/** The native kernel of kernel halving: a launch a round, a bucket of a head as work item. */

import { halvingRounds, halvingTotals, type HalvingRound } from "../../../ops/kernel-halving.js";
import type { NativeStep, Operand } from "../../../plan/schedule.js";
import { v128 } from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import type { NativeKernel } from "../../native.js";
import { addressOfBuffer, launchOf, viewWords, WordReader } from "../arguments.js";
import { hasDenseRows } from "../attention/block.js";
import { divide, entry, entryAt, integers, kernelCode } from "../code.js";
import { bucketLayout, bucketSteps } from "./bucket.js";

/** The sizes that code is made for: of keys, of values, and of the largest bucket. */
type Sizes = readonly [keySize: number, valueSize: number, most: number];

/**
 * The code of a round. Its words: views of keys, values, weights, offsets and draws; the address of the
 * output; heads, buckets and entries of a bucket; entries that all rounds keep, and where those of this
 * round and, or −1, of the one before it begin; how many buckets come before.
 */
function roundCode(sizes: Sizes): KernelCode {
  return kernelCode(`kernel-halving ${sizes.join("x")}`, (c, words, scratch) => {
    const { f } = c;
    const read = new WordReader(f, words);
    const [keys, values] = [read.view(4), read.view(4)];
    const [weights, offsets, draws] = [read.view(2), read.view(3), read.view(3)];
    const [output, heads, buckets, size] = read.words(4);
    const [entries, firstEntry, source, firstBucket] = read.words(4);
    const pairs = f.let(size.shiftRightUnsigned(1));
    const steps = bucketSteps(c, sizes, scratch);
    const [number, from] = integers(f, 2);
    return (item) => {
      const [own, bucket] = divide(f, item, buckets);
      const [batch, head] = divide(f, own, heads);
      const list = f.let(entryAt(output, own.multiply(entries)));
      const start = f.let(bucket.multiply(size));
      f.for(number, 0, size, 1, () => {
        f.set(from, start.add(number));
        f.if(source.greaterEqual(0), () => {
          f.set(from, entry(list, source.add(from)));
        });
        f.storeI32(entryAt(steps.entries, number), from);
      });
      const place = f.let(firstEntry.add(bucket.multiply(pairs)));
      const offset = f.let(v128.load32Splat(offsets.at(batch, head, firstBucket.add(bucket))));
      steps.choose(
        pairs,
        [f.let(keys.at(batch, head)), keys.strides[2]!],
        [f.let(values.at(batch, head)), values.strides[2]!],
        [f.let(weights.at(batch)), weights.strides[1]!],
        [f.let(draws.at(batch, head, place)), draws.strides[2]!],
        offset,
        f.let(entryAt(list, place)),
      );
    };
  });
}

function launchRound(
  { inputs, outputs }: NativeStep,
  rounds: readonly HalvingRound[],
  index: number,
): Launch {
  const [key, value, weights, offsets, draws] = inputs as [
    Operand,
    Operand,
    Operand,
    Operand,
    Operand,
  ];
  const [batch, heads, , keySize] = key.shape as [number, number, number, number];
  const sizes: Sizes = [keySize, value.shape[3]!, rounds.at(-1)!.size];
  const { size, buckets, firstEntry, firstBucket } = rounds[index]!;
  const items = batch * heads * buckets;
  // Half of the matrix; an exponential is as much as twenty products.
  const work = size * size * (sizes[0] + sizes[1] + 20);
  return launchOf(
    `kernel halving ${items}x${size}x${sizes[0]}x${sizes[1]}`,
    roundCode(sizes),
    [
      ...viewWords(key, 4),
      ...viewWords(value, 4),
      ...viewWords(weights, 2),
      ...viewWords(offsets, 3),
      ...viewWords(draws, 3),
      addressOfBuffer(outputs[0]!),
      ...[heads, buckets, size, halvingTotals(rounds)[0], firstEntry],
      ...[rounds[index - 1]?.firstEntry ?? -1, firstBucket],
    ],
    items,
    items * work,
    (1 << 14) / work,
    bucketLayout(...sizes).bytes,
  );
}

/** The kernel of `kernelHalving`. */
export const kernelHalvingKernel: NativeKernel = {
  op: "kernelHalving",
  acceptsView: (_node, input, view) => input > 1 || hasDenseRows(view),
  lower: (step) => {
    const [{ shape }] = step.inputs as [Operand];
    const { bucket, rounds } = step.node.attributes as { bucket: number; rounds: number };
    const list = halvingRounds(shape[2]!, bucket, rounds);
    if (shape[0]! * shape[1]! === 0) return [];
    return list.map((_, index) => launchRound(step, list, index));
  },
};
