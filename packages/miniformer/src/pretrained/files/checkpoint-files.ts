/** The files of a checkpoint, wherever they are. */

import type { SafetensorsFile } from "@x/tensor/safetensors";

/** How far reading has come. */
export interface LoadProgress {
  /** The file that is being read. */
  readonly file: string;
  /** How many of its bytes were read. */
  readonly loadedBytes: number;
  /** How many it has, or `null` where the server does not say. */
  readonly totalBytes: number | null;
}

/** What reading needs besides names. */
export interface ReadOptions {
  /** Stops reading. */
  readonly signal?: AbortSignal;
  /** Is told how far reading has come. */
  readonly onProgress?: (progress: LoadProgress) => void;
}

/** The files of a checkpoint by their names. */
export interface CheckpointFiles {
  /** Where they are, for messages. */
  readonly place: string;
  /** Whether opening a file reads no more of it than its header. */
  readonly opensCheaply: boolean;
  /** What a file says, or `null` if it is not there. */
  text(name: string, options: ReadOptions): Promise<string | null>;
  /** Opens a file of tensors; gives `null` if it is not there. */
  open(name: string, options: ReadOptions): Promise<SafetensorsFile | null>;
}
