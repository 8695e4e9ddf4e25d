import { beforeAll, describe, it } from "vitest";
import { fromData, type Device, type Shape, type Tensor } from "@x/tensor";
import { randomNumbers } from "@x/tensor/testing";
import { expectLikeReference } from "../../test/like-reference.js";
import { webgpu } from "../index.js";

const cases: readonly { readonly shape: Shape; readonly axis: number }[] = [
  { shape: [1], axis: 0 },
  { shape: [300, 1], axis: 1 },
  { shape: [2, 3, 4], axis: 1 },
  { shape: [50, 7], axis: 1 },
  { shape: [7, 50], axis: 0 },
  { shape: [3, 128], axis: 1 },
  { shape: [2, 1000], axis: 1 },
  { shape: [2, 2049, 2], axis: 1 },
  { shape: [9000], axis: 0 },
];

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

/** Numbers of the whole range of a type, with ties and, for floats, all that is special. */
function wild(seed: number, shape: Shape, dtype: "float32" | "int32" | "uint32"): Tensor {
  const random = randomNumbers(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  if (dtype === "int32") {
    const elements = Int32Array.from({ length: size }, () => (random() - 0.5) * 2 ** 32);
    return fromData(
      elements.map((x, i) => (i % 3 === 0 ? elements[i >> 1]! : x)),
      shape,
    );
  }
  if (dtype === "uint32") {
    const elements = Uint32Array.from({ length: size }, () => random() * 2 ** 32);
    return fromData(
      elements.map((x, i) => (i % 3 === 0 ? elements[i >> 1]! : x)),
      shape,
    );
  }
  const special = [0, -0, NaN, Infinity, -Infinity, -0, 0, 2 ** -149, -(2 ** -149), NaN];
  const elements = Float32Array.from({ length: size }, (_, i) =>
    i % 4 === 1 ? special[(i >> 2) % 10]! : (random() - 0.5) * 10 ** Math.floor(random() * 60 - 30),
  );
  return fromData(elements, shape);
}

for (const dtype of ["float32", "int32", "uint32"] as const) {
  describe(`sort of ${dtype}`, () => {
    for (const { shape, axis } of cases) {
      it(`along axis ${axis} of ${shape.join("×")}`, async () => {
        for (const descending of [false, true]) {
          await expectLikeReference(device, () => {
            const x = wild(1, shape, dtype);
            const { values, indices } = x.sort(axis, { descending });
            const flipped = x.flip([axis]);
            const k = Math.ceil(shape[axis]! / 3);
            return [
              values,
              indices,
              flipped.sort(axis, { descending }).values,
              flipped.topk(k, axis, { largest: descending }).indices,
            ];
          });
        }
      });
    }
  });
}
