/** Runs a recorded program on a device and compares it with the reference. */

import type { Device } from "../../src/device/device.js";
import { collectGraph } from "../../src/graph/graph.js";
import { formatSpec, type Value } from "../../src/graph/node.js";
import { expandPrimitives } from "../../src/plan/expand.js";
import { realizeValues } from "../../src/plan/realize.js";
import { elementsOf } from "../../src/reference/buffer.js";
import { viewAs } from "../../src/tensor/data.js";
import { bytesPerElement } from "../../src/tensor/dtype.js";
import { sizeOf } from "../../src/tensor/shape.js";
import { expectations } from "./noise.js";

/** How many elements were compared, and how many were left out as ill conditioned. */
export interface Tally {
  compared: number;
  left: number;
}

/** Values recorded twice: on the device under test, and for the reference. */
export interface Twin {
  readonly onDevice: readonly Value[];
  readonly onReference: readonly Value[];
  /** What was recorded, for people. */
  readonly text: string;
}

async function read(value: Value): Promise<Float64Array> {
  const { host, buffer, device } = value.storage!;
  if (host !== null) return elementsOf(host);
  const bytes = sizeOf(value.shape) * bytesPerElement(value.dtype);
  return elementsOf(viewAs(value.dtype, await device.read(buffer!, bytes)));
}

/** Throws where the device disagrees with the reference. */
export async function compareTwins(device: Device, twin: Twin, tally: Tally): Promise<void> {
  const { onDevice, onReference, text } = twin;
  if (onReference.length === 0) return;
  const graph = collectGraph(onReference);
  const expected = expectations(
    expandPrimitives(graph, () => false),
    graph.nodes.some(({ op }) => op.kind === "primitive"),
    graph.inputs.map((value) => elementsOf(value.storage!.host!)),
    graph.scalars.map((node) => node.payload as number),
  );
  await realizeValues(onDevice, new Set());
  for (const [i, value] of onDevice.entries()) {
    const actual = await read(value);
    const { elements, tolerance } = expected[i]!;
    elements.forEach((element, j) => {
      const allowed = tolerance[j]!;
      if (allowed === Infinity) {
        tally.left++;
        return;
      }
      tally.compared++;
      const isSame = Object.is(actual[j], element) || Math.abs(actual[j]! - element) <= allowed;
      if (isSame || actual[j] === element) return;
      throw new Error(
        `${device.name}: output ${i} (${formatSpec(value)}) must hold ${element} ± ${allowed.toExponential(1)} at ${j}, got ${actual[j]}.\n${text}`,
      );
    });
  }
}
