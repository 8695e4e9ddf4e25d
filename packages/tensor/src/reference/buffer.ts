/** Memory of the reference device: float64 elements, whatever the element type says. */

import type { DeviceBuffer } from "../device/device.js";
import { viewAs } from "../tensor/data.js";
import { bytesPerElement, type DataOf, type DType } from "../tensor/dtype.js";
import { floatsFromHalfs, halfsFromFloats } from "../tensor/half.js";
import { XError } from "../error.js";

/** The elements of data from the JavaScript side, in float64. */
export function elementsOf(data: DataOf): Float64Array {
  return Float64Array.from(data instanceof Uint16Array ? floatsFromHalfs(data) : data);
}

/** The element type that a typed array stands for. */
function dtypeOf(data: DataOf): DType {
  if (data instanceof Float32Array) return "float32";
  if (data instanceof Uint16Array) return "float16";
  if (data instanceof Int32Array) return "int32";
  if (data instanceof Uint32Array) return "uint32";
  return data instanceof Int8Array ? "int8" : "bool";
}

/** Elements as they are stored elsewhere: rounded to `dtype`. */
export function storedBytes(elements: Float64Array, dtype: DType): ArrayBuffer {
  const buffer = new ArrayBuffer(elements.length * bytesPerElement(dtype));
  const view = viewAs(dtype, buffer);
  view.set(dtype === "float16" ? halfsFromFloats(Float32Array.from(elements)) : elements);
  return buffer;
}

/** Live bytes; shared between a device and its buffers, which may outlive a reference to either. */
export interface Account {
  bytes: number;
}

const forgotten = new FinalizationRegistry<{ account: Account; byteLength: number }>((held) => {
  held.account.bytes -= held.byteLength;
});

/** A buffer of the reference device. */
export class ReferenceBuffer implements DeviceBuffer {
  readonly byteLength: number;
  readonly #account: Account;
  #contents: { readonly elements: Float64Array; readonly dtype: DType } | null = null;
  #released = false;

  constructor(byteLength: number, account: Account) {
    this.byteLength = byteLength;
    this.#account = account;
    account.bytes += byteLength;
    forgotten.register(this, { account, byteLength }, this);
  }

  /** The unrounded elements; zeros where nothing was written yet. */
  elements(dtype: DType): Float64Array {
    if (this.#released) {
      throw new XError(
        "disposed",
        "reference: a buffer must be alive to be read, got a released one. Keep the tensor.",
      );
    }
    return this.#contents?.elements ?? new Float64Array(this.byteLength / bytesPerElement(dtype));
  }

  /** Replaces the contents; `elements` must not be changed afterwards. */
  store(elements: Float64Array, dtype: DType): void {
    this.#contents = { elements, dtype };
  }

  write(data: DataOf): void {
    this.store(elementsOf(data), dtypeOf(data));
  }

  /** The first `byteLength` bytes as they would be stored elsewhere. */
  read(byteLength: number): ArrayBuffer {
    if (this.#contents === null) return new ArrayBuffer(byteLength);
    return storedBytes(this.#contents.elements, this.#contents.dtype).slice(0, byteLength);
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#contents = null;
    this.#account.bytes -= this.byteLength;
    forgotten.unregister(this);
  }
}
