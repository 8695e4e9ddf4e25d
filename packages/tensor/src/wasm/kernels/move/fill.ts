/** Filling memory with zeros. */

import { i32, kernelSignature } from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import { addressOfBuffer, argumentWords, readArguments } from "../arguments.js";

const names = ["target", "bytes", "itemBytes"] as const;
const itemBytes = 1 << 17;

const code: KernelCode = {
  key: "move/zeros",
  emit: (module) => {
    module.function("move/zeros", kernelSignature, (f, address, begin, end) => {
      const a = readArguments(f, address, names);
      const from = f.let(begin.multiply(a.itemBytes));
      const to = f.let(end.multiply(a.itemBytes));
      f.set(to, to.lessUnsigned(a.bytes).select<typeof to>(to, a.bytes));
      f.memoryFill(a.target.add(from), i32.const(0), to.subtract(from));
    });
  },
};

/** The launch that sets the first `bytes` bytes of a buffer to 0; none where there are none. */
export function fillWithZeros(name: string, target: number, bytes: number): readonly Launch[] {
  if (bytes === 0) return [];
  return [
    {
      name,
      code,
      arguments: argumentWords(names, { target: addressOfBuffer(target), bytes, itemBytes }),
      items: Math.ceil(bytes / itemBytes),
      grain: 1,
      scratchBytes: 0,
      reads: [],
      writes: [target],
      work: bytes / 8,
    },
  ];
}
