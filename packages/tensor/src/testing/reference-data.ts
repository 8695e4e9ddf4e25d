/** Tensors of the reference device with all the precision of float64. */

import { XError } from "../error.js";
import { Storage } from "../graph/storage.js";
import { input } from "../ops/leaf.js";
import { elementsOf, ReferenceBuffer } from "../reference/buffer.js";
import { reference } from "../reference/device.js";
import { bytesPerElement, type DType } from "../tensor/dtype.js";
import type { Shape } from "../tensor/shape.js";
import { Tensor } from "../tensor/tensor.js";

/**
 * The elements of a tensor of the reference device, not rounded to float32. Ask for them before the
 * tensor is read in any other way: reading rounds.
 */
export async function referenceData(tensor: Tensor): Promise<Float64Array> {
  await tensor.realize();
  const storage = tensor.value.storage!;
  storage.checkAlive("referenceData");
  if (storage.buffer instanceof ReferenceBuffer) {
    return storage.buffer.elements(tensor.dtype).slice();
  }
  if (storage.host === null) {
    throw new XError(
      "device",
      `referenceData: the tensor must live on the reference device, got one on ${storage.device.name}. Move it with to(reference()).`,
    );
  }
  return elementsOf(storage.host);
}

/** A tensor of the reference device with elements that need not be float32 numbers. */
export function referenceTensor(
  elements: Float64Array,
  shape: Shape,
  dtype: DType = "float32",
  requiresGrad = false,
): Tensor {
  const device = reference();
  const buffer = device.allocate(elements.length * bytesPerElement(dtype));
  (buffer as ReferenceBuffer).store(elements, dtype);
  const storage = new Storage(device, buffer.byteLength, null, buffer);
  return new Tensor(input(storage, shape, dtype, device, requiresGrad));
}
