import { beforeAll, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import { setDevice } from "../device/current.js";
import { profile } from "../plan/profile.js";
import { manualSeed, randn } from "../random/index.js";
import { ones, tensor, zeros } from "../tensor/creation.js";
import { expectClose } from "../testing/index.js";
import {
  LearnedPositionalEncoding,
  RotaryEmbedding,
  SinusoidalPositionalEncoding,
  type RotaryLayout,
} from "./index.js";

const tolerance = { relative: 1e-5, absolute: 5e-6 };

/** One vector rotated by hand. */
function rotateByHand(
  x: readonly number[],
  position: number,
  dim: number,
  layout: RotaryLayout,
): number[] {
  const result = [...x];
  for (let i = 0; i < dim / 2; i++) {
    const [a, b] = layout === "half" ? [i, i + dim / 2] : [2 * i, 2 * i + 1];
    const angle = position * 10000 ** ((-2 * i) / dim);
    result[a] = x[a]! * Math.cos(angle) - x[b]! * Math.sin(angle);
    result[b] = x[b]! * Math.cos(angle) + x[a]! * Math.sin(angle);
  }
  return result;
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(0);
  });

  describe("RotaryEmbedding", () => {
    test.each([
      ["interleaved", 6],
      ["half", 6],
      ["interleaved", 8],
      ["half", 8],
    ] as [RotaryLayout, number][])("%s, %d of 8 elements", async (layout, dim) => {
      const rotary = new RotaryEmbedding(dim, { layout });
      const x = await randn([2, 3, 5, 8]).realize();
      const rows = (await x.toArray()) as number[][][][];
      const expected = (offset: (batch: number) => number): number[] =>
        rows.flatMap((heads, batch) =>
          heads.flatMap((positions) =>
            positions.flatMap((row, i) => rotateByHand(row, i + offset(batch), dim, layout)),
          ),
        );
      await expectClose(
        rotary.forward(x),
        expected(() => 0),
        tolerance,
      );
      await expectClose(
        rotary.forward(x, { offset: 7 }),
        expected(() => 7),
        tolerance,
      );
      const one = tensor(Int32Array.of(11)).reshape([]);
      await expectClose(
        rotary.forward(x, { offset: one }),
        expected(() => 11),
        tolerance,
      );
      const each = tensor(Int32Array.of(3, 20));
      await expectClose(
        rotary.forward(x, { offset: each }),
        expected((b) => [3, 20][b]!),
        tolerance,
      );
      const table = rotary.table(x, { offset: each });
      await expectClose(
        rotary.rotate(x, table),
        expected((b) => [3, 20][b]!),
        tolerance,
      );
    });

    test("the next position needs no new plan", async () => {
      const rotary = new RotaryEmbedding(4);
      const x = await randn([1, 1, 4]).realize();
      const compiled: number[] = [];
      for (let offset = 0; offset < 4; offset++) {
        const { compileCount } = await profile(() => rotary.forward(x, { offset }).data());
        compiled.push(compileCount);
      }
      expect(compiled.slice(1)).toEqual([0, 0, 0]);
    });
  });

  test("sinusoidal encodings", async () => {
    for (const size of [6, 5]) {
      const encoding = new SinusoidalPositionalEncoding(size);
      const expected = [4, 5, 6].flatMap((position) =>
        Array.from({ length: size }, (_, i) => {
          const angle = position * 10000 ** ((-2 * Math.floor(i / 2)) / size);
          return i % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
        }),
      );
      await expectClose(encoding.forward(zeros([3, size]), { offset: 4 }), expected, tolerance);
      expect(Object.keys(encoding.stateDict())).toEqual([]);
    }
  });

  test("learned encodings", async () => {
    const encoding = new LearnedPositionalEncoding(10, 4);
    const table = await encoding.weight.data();
    const row = (i: number): number[] => [...table.slice(4 * i, 4 * i + 4)];
    await expectClose(encoding.forward(zeros([2, 4])), [...row(0), ...row(1)]);
    await expectClose(encoding.forward(zeros([2, 4]), { offset: 3 }), [...row(3), ...row(4)]);
    const offset = tensor(Int32Array.of(1, 8));
    await expectClose(encoding.forward(zeros([2, 2, 4]), { offset }), [1, 2, 8, 9].flatMap(row));
    encoding
      .forward(ones([2, 4]), { offset: 2 })
      .sum()
      .backward();
    const gradient = await encoding.weight.grad!.sum(1).data();
    expect([...gradient]).toEqual([0, 0, 4, 4, 0, 0, 0, 0, 0, 0]);
  });
});

const refused: [string, () => unknown][] = [
  ["RotaryEmbedding: dim must be even, got 5.", () => new RotaryEmbedding(5)],
  [
    "RotaryEmbedding: dim must be a whole number of at least 2, got NaN.",
    () => new RotaryEmbedding(NaN),
  ],
  [
    'RotaryEmbedding: layout must be one of "interleaved", "half", got "both".',
    () => new RotaryEmbedding(4, { layout: "both" as "half" }),
  ],
  [
    "RotaryEmbedding: the last axis of the input must be at least 4, got [3, 2].",
    () => new RotaryEmbedding(4).forward(ones([3, 2])),
  ],
  [
    "RotaryEmbedding: the input must have at least the axes [length, size], got [4].",
    () => new RotaryEmbedding(4).forward(ones([4])),
  ],
  [
    "RotaryEmbedding: the offset must be a whole number, got 1.5.",
    () => new RotaryEmbedding(4).forward(ones([1, 4]), { offset: 1.5 }),
  ],
  [
    "RotaryEmbedding: the offset must be one number or one for each element of the first axis, got [3] for [2, 1, 4].",
    () => new RotaryEmbedding(4).forward(ones([2, 1, 4]), { offset: tensor(new Int32Array(3)) }),
  ],
  [
    "SinusoidalPositionalEncoding: base must be a finite number above 0, got -1.",
    () => new SinusoidalPositionalEncoding(4, { base: -1 }),
  ],
  [
    "LearnedPositionalEncoding: positions must lie below 4, got [3, 2] from position 2 on.",
    () => new LearnedPositionalEncoding(4, 2).forward(ones([3, 2]), { offset: 2 }),
  ],
  [
    "LearnedPositionalEncoding: the last axis of the input must be 2, got [3, 5].",
    () => new LearnedPositionalEncoding(4, 2).forward(ones([3, 5])),
  ],
];

test.each(refused)("refuses: %s", (sentence, body) => {
  expect(body).toThrow(sentence);
});
