/** Filling memory with zeros. */

import type { Launch } from "../../launch.js";
import { addressOfBuffer, launchOf, WordReader } from "../arguments.js";
import { kernelCode } from "../code.js";

const itemBytes = 1 << 17;

/** The launch that sets the first `bytes` bytes of a buffer to 0; none where there are none. */
export function fillWithZeros(name: string, target: number, bytes: number): readonly Launch[] {
  if (bytes === 0) return [];
  const code = kernelCode("move/zeros", ({ f }, words) => {
    const [to, size] = new WordReader(f, words).words(2);
    return (item) => {
      const from = f.let(item.multiply(itemBytes));
      const rest = f.let(size.subtract(from));
      const count = rest.lessUnsigned(itemBytes).select<typeof rest>(rest, f.letI32(itemBytes));
      f.memoryFill(to.add(from), 0, count);
    };
  });
  const words = [addressOfBuffer(target), bytes];
  return [launchOf(name, code, words, Math.ceil(bytes / itemBytes), bytes / 8)];
}
