/** Tensors to and from safetensors files. */

import { getDevice } from "../device/current.js";
import type { Device } from "../device/device.js";
import type { Value } from "../graph/node.js";
import { Storage } from "../graph/storage.js";
import { input } from "../ops/leaf.js";
import { realizeValues } from "../plan/realize.js";
import { Tensor } from "../tensor/tensor.js";
import { toSafetensorsDType } from "./convert.js";
import { openSafetensorsFile, writeFile } from "./files.js";
import { openSafetensors } from "./reader.js";
import type { SafetensorsFile } from "./reader.js";
import type { SafetensorsSource } from "./source.js";
import { writeSafetensors } from "./writer.js";
import type { LazySafetensorsTensor, SafetensorsMetadata, SafetensorsTensor } from "./writer.js";

/** Tensors by name, such as the state dictionary of a module. */
export type NamedTensors = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>;

/** Options of the functions that load tensors. */
export interface LoadOptions {
  /** The tensors to load; all of them unless given. */
  readonly names?: Iterable<string>;
  /** Where they shall live; the current device unless given. */
  readonly device?: Device;
}

/**
 * Reads tensors from the bytes of a safetensors file, in the order of their data. Types that the
 * engine does not have become the nearest that it has: BF16 and F64 float32, narrow integers int32,
 * I64 int32 and U64 uint32 where every value fits.
 *
 * @param source the bytes, a `Blob`, or an object that reads at an offset
 * @throws XError `checkpoint` if the file is damaged or lacks a name; `dtype` if the engine cannot
 * hold a tensor
 * @example
 * ```ts
 * import { tensor } from "@x/tensor";
 * import { loadSafetensors, saveSafetensors } from "@x/tensor/safetensors";
 *
 * const bytes = await saveSafetensors({ weight: tensor([[1, 2], [3, 4]]), bias: tensor([0.5, 1]) });
 *
 * const tensors = await loadSafetensors(bytes);
 * console.log([...tensors.keys()]); // → [ 'bias', 'weight' ]
 * console.log(await tensors.get("weight")?.toArray()); // → [ [ 1, 2 ], [ 3, 4 ] ]
 * ```
 */
export async function loadSafetensors(
  source: SafetensorsSource,
  options: LoadOptions = {},
): Promise<Map<string, Tensor>> {
  return loadAndClose(await openSafetensors(source), options);
}

/**
 * Reads tensors from a safetensors file on disk, one after the other: only one of them is in memory
 * twice. Otherwise as {@link loadSafetensors}.
 *
 * @throws XError as `loadSafetensors` does; `checkpoint` if the file cannot be read; `unsupported`
 * in a runtime without Node's file system
 */
export async function loadSafetensorsFile(
  path: string | URL,
  options: LoadOptions = {},
): Promise<Map<string, Tensor>> {
  return loadAndClose(await openSafetensorsFile(path), options);
}

/**
 * The bytes of a safetensors file with the given tensors, which are computed if they are not yet.
 * The types are kept. Equal tensors and metadata give equal bytes.
 *
 * @param metadata text notes to store with them
 * @throws XError `argument` if a name or the metadata cannot be stored; `memory` if the file is too
 * large for one array
 * @example
 * ```ts
 * import { ones } from "@x/tensor";
 * import { openSafetensors, saveSafetensors } from "@x/tensor/safetensors";
 *
 * const bytes = await saveSafetensors({ scale: ones([3]) }, { step: "100" });
 * const file = await openSafetensors(bytes);
 * console.log(file.entry("scale").dtype, file.metadata.get("step")); // → F32 100
 * ```
 */
export async function saveSafetensors(
  tensors: NamedTensors,
  metadata?: SafetensorsMetadata,
): Promise<Uint8Array<ArrayBuffer>> {
  const described: SafetensorsTensor[] = [];
  for (const tensor of await describe(tensors)) {
    described.push({ ...tensor, bytes: await tensor.bytes() });
  }
  return writeSafetensors(described, metadata);
}

/**
 * Saves tensors as a safetensors file on disk, reading them from their device one at a time. They
 * go to a temporary file beside the target, which is flushed to the disk and then renamed over it:
 * whatever fails, and whenever, the target is either the old file or the whole new one. The tensors
 * must not be updated before the promise resolves.
 *
 * @param metadata text notes to store with them
 * @throws XError `argument` if a name or the metadata cannot be stored; `checkpoint` if the file
 * cannot be written; `unsupported` in a runtime without Node's file system
 * @example
 * ```ts
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { tensor } from "@x/tensor";
 * import { loadSafetensorsFile, saveSafetensorsFile } from "@x/tensor/safetensors";
 *
 * const path = join(tmpdir(), "x-example-save.safetensors");
 * await saveSafetensorsFile(path, { ids: tensor(Int32Array.of(7, 8)) });
 *
 * const { ids } = Object.fromEntries(await loadSafetensorsFile(path));
 * console.log(ids?.dtype, await ids?.toArray()); // → int32 [ 7, 8 ]
 * ```
 */
export async function saveSafetensorsFile(
  path: string | URL,
  tensors: NamedTensors,
  metadata?: SafetensorsMetadata,
): Promise<void> {
  return writeFile("saveSafetensorsFile", path, await describe(tensors), metadata);
}

async function loadAndClose(
  file: SafetensorsFile,
  options: LoadOptions,
): Promise<Map<string, Tensor>> {
  // Not `await using`: Safari has no Symbol.asyncDispose.
  try {
    return await loadAll(file, options);
  } finally {
    await file.close();
  }
}

async function loadAll(file: SafetensorsFile, options: LoadOptions): Promise<Map<string, Tensor>> {
  const device = options.device ?? getDevice();
  const names = [...(options.names ?? file.names)];
  // A missing name is found before anything is read.
  for (const name of names) file.entry(name);
  const result = new Map<string, Tensor>();
  for (const name of names) {
    const { dtype, data } = await file.data(name);
    // The data may be a view of what the caller holds; a tensor owns its numbers.
    const owned = data.slice();
    const storage = new Storage(device, owned.byteLength, owned, null);
    result.set(name, new Tensor(input(storage, [...file.entry(name).shape], dtype, device)));
  }
  return result;
}

interface DescribedTensor extends LazySafetensorsTensor {
  readonly bytes: () => Promise<Uint8Array>;
}

/** Computes tensors, and describes them in the terms of the format. */
async function describe(tensors: NamedTensors): Promise<DescribedTensor[]> {
  const pairs: readonly (readonly [string, Tensor])[] =
    tensors instanceof Map
      ? [...(tensors as ReadonlyMap<string, Tensor>)]
      : Object.entries(tensors as Readonly<Record<string, Tensor>>);
  await computeAll(pairs.map(([, tensor]) => tensor));
  return pairs.map(([name, tensor]) => ({
    name,
    dtype: toSafetensorsDType(tensor.dtype),
    shape: tensor.shape,
    bytes: async () => {
      const { buffer, byteOffset, byteLength } = await tensor.storedData();
      return new Uint8Array(buffer, byteOffset, byteLength);
    },
  }));
}

/** Computes what is not computed yet, all of a device in one plan: fresh parameters share one. */
async function computeAll(tensors: readonly Tensor[]): Promise<void> {
  const byDevice = new Map<Device | null, Value[]>();
  for (const { device, value } of tensors) {
    const values = byDevice.get(device);
    if (values === undefined) byDevice.set(device, [value]);
    else values.push(value);
  }
  for (const values of byDevice.values()) await realizeValues(values, new Set());
}
