/**
 * Checkpoints: saving models, and loading them and published ones.
 *
 * @module
 */

export type { DirectoryHandle, FileHandle, WritableFile } from "./files/blobs.js";
export type { LoadProgress, ReadOptions } from "./files/checkpoint-files.js";
export type { Fetch } from "./files/remote.js";
export type { PretrainedSource } from "./files/source.js";
export type { PretrainedTarget } from "./files/target.js";
export { fromPretrained, type FromPretrainedOptions, type Pretrained } from "./from-pretrained.js";
export type { GenerationConfig } from "./generation-config.js";
export {
  MaskedLanguageModelHead,
  PooledClassifier,
  type HeadSpec,
  type MaskedLanguageModelSpec,
  type PooledClassesSpec,
} from "./heads.js";
export type { ConfiguredModel } from "./own-format.js";
export { savePretrained, type SavePretrainedOptions } from "./save-pretrained.js";
export type { PretrainedReport } from "./weights/load-weights.js";
