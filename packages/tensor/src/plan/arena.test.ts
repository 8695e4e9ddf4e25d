import { describe, expect, test } from "vitest";
import { layOut, type Life } from "./arena.js";

/** Numbers that look random, always the same. */
function* numbers(): Generator<number, never> {
  for (let state = 7; ;) yield (state = (state * 48271) % 2147483647);
}

function someLives(count: number): Life[] {
  const next = numbers();
  return Array.from({ length: count }, () => {
    const first = next.next().value % (2 * count);
    const bytes = 64 * (1 + (next.next().value % 40));
    return { bytes, first, last: first + (next.next().value % 12) };
  });
}

/** Lives in which small buffers that stay split the places of large ones. */
const split: Life[] = Array.from({ length: 40 }, (_, i) =>
  i % 2 === 0
    ? { bytes: 640 + 64 * i, first: i, last: i }
    : { bytes: 64, first: i - 1, last: i + 40 },
);

describe("layOut", () => {
  test.each([
    ["scattered lives", someLives(300)],
    ["places that are split", split],
  ])("gives no place to two buffers at one time: %s", (_, lives) => {
    const { offsets, bytes } = layOut(lives);
    lives.forEach((a, i) => {
      expect(offsets[i]! + a.bytes).toBeLessThanOrEqual(bytes);
      lives.slice(0, i).forEach((b, j) => {
        const meet = a.first <= b.last && b.first <= a.last;
        const share = offsets[i]! < offsets[j]! + b.bytes && offsets[j]! < offsets[i]! + a.bytes;
        expect(meet && share).toBe(false);
      });
    });
  });

  test("wastes little where the order of time would waste much", () => {
    const most = Math.max(
      ...split.map(({ first }) =>
        split.reduce(
          (sum, life) => sum + (life.first <= first && first <= life.last ? life.bytes : 0),
          0,
        ),
      ),
    );
    expect(layOut(split).bytes).toBeLessThan(1.25 * most);
  });
});
