/**
 * Reading and writing safetensors, the format in which checkpoints are exchanged with PyTorch and
 * others. `load` and `save` deal in tensors; `open`, `write` and `stream` in bytes.
 *
 * @module
 */

export { convertToEngine, toSafetensorsDType } from "./convert.js";
export type { ConvertedData } from "./convert.js";
export { openSafetensorsFile, writeSafetensorsFile } from "./files.js";
export type { SafetensorsDType } from "./format.js";
export type { SafetensorsEntry } from "./header.js";
export { openSafetensors } from "./reader.js";
export type { SafetensorsFile } from "./reader.js";
export type { RandomAccessSource, SafetensorsSource } from "./source.js";
export {
  loadSafetensors,
  loadSafetensorsFile,
  saveSafetensors,
  saveSafetensorsFile,
} from "./tensors.js";
export type { LoadOptions, NamedTensors } from "./tensors.js";
export { streamSafetensors, writeSafetensors } from "./writer.js";
export type {
  LazySafetensorsTensor,
  SafetensorsMetadata,
  SafetensorsStream,
  SafetensorsTensor,
} from "./writer.js";
