/** The random function: Threefry 2x32 with 20 rounds (Salmon et al., 2011), as in Random123. */

import { i32x4, type Local, type V128 } from "../assembler/index.js";
import { integer, type MathContext } from "./context.js";

const rotations = [13, 15, 26, 6, 17, 29, 16, 24];
const parity = 0x1bd11bda;

/** Both words of a block in every lane. */
export function threefry(
  c: MathContext,
  key0: V128,
  key1: V128,
  counter0: V128,
  counter1: V128,
): [V128, V128] {
  const { f } = c;
  const keys = [f.keep(key0), f.keep(key1)];
  keys.push(f.let(keys[0]!.xor(keys[1]!).xor(integer(c, parity))));
  const x: Local<V128> = f.let(i32x4.add(counter0, keys[0]!));
  const y: Local<V128> = f.let(i32x4.add(counter1, keys[1]!));
  for (let round = 0; round < 20; round++) {
    f.set(x, i32x4.add(x, y));
    const count = rotations[round % 8]!;
    const rotated = i32x4.shiftLeft(y, count).or(i32x4.shiftRightUnsigned(y, 32 - count));
    f.set(y, rotated.xor(x));
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      f.set(x, i32x4.add(x, keys[injection % 3]!));
      const key = i32x4.add(keys[(injection + 1) % 3]!, integer(c, injection));
      f.set(y, i32x4.add(y, key));
    }
  }
  return [x, y];
}
