import { beforeAll, describe, it } from "vitest";
import { cat, zeros, type Device, type DType } from "@x/tensor";
import { expectLikeReference, numbers } from "../../test/like-reference.js";
import { webgpu } from "../index.js";

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

describe("concatenate", () => {
  for (const dtype of ["float32", "float16", "int32", "uint32", "int8", "bool"] as DType[]) {
    it(`joins ${dtype}`, async () => {
      for (const axis of [0, 1, 2]) {
        await expectLikeReference(device, () => {
          const x = numbers(1, [3, 4, 5], dtype);
          const other = numbers(2, x.shape.with(axis, 1), dtype);
          const empty = zeros(x.shape.with(axis, 0), { dtype });
          return [
            cat([x, other, x], axis),
            cat([empty, other, empty, x.flip([1])], axis),
            cat([x.transpose(0, 2), x.transpose(0, 2).narrow(axis, 1, 2)], axis),
          ];
        });
      }
    });
  }

  it("joins more tensors than a shader may use", async () => {
    await expectLikeReference(device, () => [
      cat(
        Array.from({ length: 20 }, (_, i) => numbers(i, [2, 1 + (i % 3)], "int8")),
        1,
      ),
    ]);
  });
});
