import { beforeAll, describe, expect, test } from "vitest";
import { fromData, manualSeed, ones, randn, setDevice, tensor, where, zeros } from "@x/tensor";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { simplexRandomMatrix } from "../features/random-matrix.js";
import { softmaxKernel } from "./softmax-kernel.js";

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(1);
  });

  test("features are what the formula says, in both layouts", async () => {
    const projection = tensor([
      [1, 0],
      [0, 2],
      [1, 1],
    ]);
    const data = fromData(Float32Array.of(1, 0.5, -1, 2), [1, 1, 2, 2]);
    const rows = [
      [1, 0.5],
      [-1, 2],
    ].map(([x, y]) => {
      const products = [x!, 2 * y!, x! + y!].map((p) => p * 2 ** -0.25);
      return { products, half: (x! ** 2 + y! ** 2) * 2 ** -1.5 };
    });
    const expected = (maxima: readonly number[]): number[] =>
      rows.flatMap(({ products, half }, i) =>
        products.map((p) => (Math.exp(p - half - maxima[i]!) + 0.01) / Math.sqrt(3)),
      );
    const own = rows.map(({ products }) => Math.max(...products));
    const most = Math.max(...own);
    for (const layout of ["bhld", "blhd"] as const) {
      const arranged = layout === "bhld" ? data : data.transpose(1, 2);
      const options = { layout, eps: 0.01 };
      const q = softmaxKernel(arranged, projection, { ...options, isQuery: true });
      await expectClose(q.features, expected(own));
      await expectClose(q.maxima, own);
      const k = softmaxKernel(arranged, projection, { ...options, isQuery: false });
      await expectClose(k.features, expected([most, most]));
      expect(k.maxima.shape).toEqual([1, 1, 1, 1]);
      await expectClose(k.maxima, [most]);
    }
  });

  test("masked keys have no features, and no part in the maximum", async () => {
    const projection = simplexRandomMatrix({ rows: 4, features: 3 });
    const k = await randn([2, 2, 3, 3]).realize();
    const keyMask = tensor([
      [true, true, false],
      [true, true, false],
    ]);
    const late = keyMask.logicalNot().unsqueeze(1).unsqueeze(-1);
    const options = { isQuery: false, keyMask } as const;
    const { features, maxima } = softmaxKernel(where(late, k.mul(500), k), projection, options);
    const alone = softmaxKernel(k.narrow(2, 0, 2), projection, { isQuery: false });
    await expectClose(features.narrow(2, 0, 2), alone.features);
    await expectClose(maxima, alone.maxima);
    expect(await features.narrow(2, 2, 1).abs().amax().item()).toBe(0);
  });
});

test.each<[string, () => unknown, string]>([
  [
    "shape",
    () => softmaxKernel(zeros([1, 2, 3, 4]), zeros([5, 3]), { isQuery: true }),
    "softmaxKernel: the data must have four axes, the last as long as the random vectors, got [1, 2, 3, 4] and vectors [5, 3]. Reshape the data or draw other vectors.",
  ],
  [
    "argument",
    () => softmaxKernel(zeros([1, 2, 3, 4]), zeros([5, 4]), { isQuery: true, eps: -1 }),
    "softmaxKernel: eps must be a finite number of at least 0, got -1. Correct it.",
  ],
  [
    "argument",
    () =>
      softmaxKernel(zeros([1, 2, 3, 4]), zeros([5, 4]), {
        isQuery: true,
        layout: "lbhd" as "bhld",
      }),
    'softmaxKernel: layout must be one of "bhld", "blhd", got "lbhd". Choose one of them.',
  ],
  [
    "shape",
    () =>
      softmaxKernel(zeros([1, 2, 3, 4]), zeros([5, 4]), {
        isQuery: false,
        layout: "blhd",
        keyMask: ones([1, 3], { dtype: "bool" }),
      }),
    "softmaxKernel: the key mask must be bool [1, 2], true where a key takes part, got bool [1, 3]. Compare or reshape it.",
  ],
])("error %s: %#", (code, body, sentence) => {
  expect(body).toThrow(sentence);
  expect(codeOf(body)).toBe(code);
});
