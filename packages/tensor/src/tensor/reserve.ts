/** Tensors with memory of their own, whose numbers are given later. */

import { getDevice } from "../device/current.js";
import type { Value } from "../graph/node.js";
import { Storage } from "../graph/storage.js";
import { input } from "../ops/leaf.js";
import { bytesPerElement } from "./dtype.js";
import { sizeOf } from "./shape.js";
import { Tensor } from "./tensor.js";

/** A leaf of the shape, type and device of `like`, whose numbers must be given before their use. */
export function reserve(like: Pick<Tensor, "shape" | "dtype" | "device">): Value {
  const device = like.device ?? getDevice();
  const bytes = sizeOf(like.shape) * bytesPerElement(like.dtype);
  return input(new Storage(device, bytes, null, null), [...like.shape], like.dtype, device);
}

/** A tensor with the same numbers in memory of its own. */
export function copyOf(source: Tensor): Tensor {
  return new Tensor(reserve(source)).initialize(source);
}
