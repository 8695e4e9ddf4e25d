/** The reference as a device. */

import type { Bindings, Device, DeviceBuffer, Executable, MemoryUse } from "../device/device.js";
import type { Graph } from "../graph/graph.js";
import { expandPrimitives } from "../plan/expand.js";
import type { DataOf } from "../tensor/dtype.js";
import { elementsOf, ReferenceBuffer, storedBytes, type Account } from "./buffer.js";
import { interpret } from "./interpreter.js";

class ReferenceDevice implements Device {
  readonly name = "reference";
  readonly info = { arithmetic: "float64", threads: 1 };
  // Nothing is handed out unless it is asked for: on the way out elements are rounded to float32.
  readonly smallResultBytes = 0;
  readonly #account: Account = { bytes: 0 };

  allocate(byteLength: number): DeviceBuffer {
    return new ReferenceBuffer(byteLength, this.#account);
  }

  write(buffer: DeviceBuffer, data: DataOf): void {
    (buffer as ReferenceBuffer).write(data);
  }

  read(buffer: DeviceBuffer, byteLength: number): Promise<ArrayBuffer> {
    return Promise.resolve((buffer as ReferenceBuffer).read(byteLength));
  }

  compile(graph: Graph): Promise<Executable> {
    const expanded = expandPrimitives(graph, () => false);
    return Promise.resolve({
      run: async (bindings: Bindings) => run(expanded, bindings),
      release: () => undefined,
    });
  }

  memory(): MemoryUse {
    const { bytes } = this.#account;
    return { tensors: bytes, plans: 0, total: bytes };
  }
}

function run(
  graph: Graph,
  { inputs, scalars, outputs, profile }: Bindings,
): (ArrayBuffer | null)[] {
  const given = inputs.map((input, i) =>
    input instanceof ReferenceBuffer
      ? input.elements(graph.inputs[i]!.dtype)
      : elementsOf(input as DataOf),
  );
  const results = interpret(graph, { inputs: given, scalars, profile });
  // Written only now: an output may take the place of an input.
  return results.map((elements, i) => {
    const { dtype } = graph.outputs[i]!;
    const buffer = outputs[i];
    if (!buffer) return storedBytes(elements, dtype);
    (buffer as ReferenceBuffer).store(elements, dtype);
    return null;
  });
}

let shared: Device | null = null;

/**
 * The reference device: a slow and obvious interpreter of every operation, against which the other
 * devices are tested. float32 numbers are float64 inside and are rounded only when they are read.
 *
 * There is one such device; every call returns it.
 *
 * @example
 * ```ts
 * import { reference, setDevice, tensor } from "@x/tensor";
 *
 * setDevice(reference());
 * console.log(await tensor([1, 2, 3]).exp().sum().item()); // → 30.192874908447266
 * ```
 */
export function reference(): Device {
  return (shared ??= new ReferenceDevice());
}
