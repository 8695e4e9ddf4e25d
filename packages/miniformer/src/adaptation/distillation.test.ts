import { beforeAll, describe, expect, test } from "vitest";
import { manualSeed, randn, reference, setDevice, tensor, zeros } from "@x/tensor";
import { checkGradients, codeOf } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { distillationLoss } from "./distillation.js";

function logSoftmax(row: readonly number[]): number[] {
  const sum = Math.log(row.reduce((total, x) => total + Math.exp(x), 0));
  return row.map((x) => x - sum);
}

describe.each(devices)("distillationLoss on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(4);
  });

  test("is alpha T² KL + (1 − alpha) CE over the positions that count", async () => {
    const [student, teacher] = [randn([2, 3, 5]), randn([2, 3, 5])];
    const labels = tensor(
      [
        [1, -100, 4],
        [0, 2, -100],
      ],
      { dtype: "int32" },
    );
    const [s, t] = [await student.toArray(), await teacher.toArray()] as number[][][][];
    let [divergence, entropy] = [0, 0];
    for (const [i, row] of (
      [
        [1, -100, 4],
        [0, 2, -100],
      ] as const
    ).entries()) {
      for (const [j, label] of row.entries()) {
        if (label < 0) continue;
        const soft = (x: number[]): number[] => logSoftmax(x.map((value) => value / 3));
        const [p, q] = [soft(t![i]![j]!), soft(s![i]![j]!)];
        divergence += p.reduce((sum, x, k) => sum + Math.exp(x) * (x - q[k]!), 0);
        entropy -= logSoftmax(s![i]![j]!)[label]!;
      }
    }
    const loss = distillationLoss(student, teacher, labels, { temperature: 3, alpha: 0.25 });
    expect(await loss.item()).toBeCloseTo((0.25 * 9 * divergence + 0.75 * entropy) / 4, 4);
  });

  test("has gradients for the student only, and takes no labels", async () => {
    const teacher = randn([4, 3], { requiresGrad: true });
    const student = randn([4, 3], { requiresGrad: true });
    distillationLoss(student, teacher, null, { alpha: 1 }).backward();
    expect([student.grad === null, teacher.grad === null]).toEqual([false, true]);
    expect(await distillationLoss(teacher, teacher, null, { alpha: 1 }).item()).toBeCloseTo(0, 6);
  });
});

test("has the gradients of its formula", async () => {
  setDevice(reference());
  const [teacher, labels] = [await randn([4, 3]).realize(), tensor([0, 2, 1, -100]).int()];
  await checkGradients(
    (student) => distillationLoss(student, teacher, labels, { temperature: 3 }),
    [randn([4, 3])],
  );
});

test.each<[string, () => unknown, string]>([
  [
    "shape",
    () => distillationLoss(zeros([2, 3]), zeros([2, 4]), null, { alpha: 1 }),
    "distillationLoss: the logits must have equal shapes [..., classes] and the labels [...], got [2, 3], [2, 4]. Reshape them.",
  ],
  [
    "argument",
    () => distillationLoss(zeros([2, 3]), zeros([2, 3]), null),
    "distillationLoss: the part of the labels must be 0 where there are none, got alpha 0.5. Pass labels, or alpha: 1.",
  ],
  [
    "argument",
    () => distillationLoss(zeros([2, 3]), zeros([2, 3]), null, { temperature: 0 }),
    "distillationLoss: temperature must be",
  ],
])("%s: %#", (code, body, sentence) => {
  expect(body).toThrow(sentence);
  expect(codeOf(body)).toBe(code);
});
