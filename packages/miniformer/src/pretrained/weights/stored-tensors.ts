/** The tensors of a checkpoint, in one file or in several with an index. */

import type { DType, Shape } from "@x/tensor";
import { convertToEngine, type SafetensorsFile } from "@x/tensor/safetensors";
import type { CheckpointFiles, ReadOptions } from "../files/checkpoint-files.js";
import { unloadable } from "../files/failure.js";
import { parseObject } from "../config-file.js";
import { fromFloat16 } from "./half.js";
import type { Elements } from "./rule.js";

/** The names that files of tensors have. */
export const weightFiles = {
  single: "model.safetensors",
  index: "model.safetensors.index.json",
} as const;

/** A tensor that was read. */
export interface ReadTensor {
  /** The type of the elements: float16 and bfloat16 are widened to float32. */
  readonly dtype: DType;
  readonly elements: Elements;
}

/** The tensors of a checkpoint. They are read one by one; a file is closed after its last. */
export class StoredTensors {
  /** The names of all tensors, as far as files say. */
  readonly names: ReadonlySet<string>;
  /** Files that the index names and that are not there. */
  readonly missingFiles: Set<string> = new Set<string>();
  private readonly files: CheckpointFiles;
  private readonly options: ReadOptions;
  private readonly places: ReadonlyMap<string, string>;
  private readonly opened = new Map<string, SafetensorsFile>();
  /** The tensors of each file that are still to be read. */
  private readonly waiting = new Map<string, Set<string>>();
  private readonly bytesRead = new Map<string, number>();

  private constructor(
    files: CheckpointFiles,
    options: ReadOptions,
    places: ReadonlyMap<string, string>,
  ) {
    this.files = files;
    this.options = options;
    this.places = places;
    this.names = new Set(places.keys());
    for (const [name, file] of places) {
      const names = this.waiting.get(file) ?? new Set();
      this.waiting.set(file, names.add(name));
    }
  }

  /** Finds the tensors; opens all files where that is cheap. */
  static async open(files: CheckpointFiles, options: ReadOptions): Promise<StoredTensors> {
    const single = await files.open(weightFiles.single, options);
    if (single !== null) {
      const places = new Map(single.names.map((name) => [name, weightFiles.single]));
      const tensors = new StoredTensors(files, options, places);
      tensors.opened.set(weightFiles.single, single);
      return tensors;
    }
    const index = await files.text(weightFiles.index, options);
    if (index === null) {
      throw unloadable(
        `${files.place} must hold ${weightFiles.single} or ${weightFiles.index}, got neither. Save the checkpoint in the safetensors format.`,
      );
    }
    const tensors = new StoredTensors(files, options, placesOf(index));
    try {
      if (files.opensCheaply) for (const file of tensors.waiting.keys()) await tensors.file(file);
    } catch (error) {
      await tensors.close();
      throw error;
    }
    return tensors;
  }

  /** The shape of a tensor, or `null` if the file it should be in is not there. */
  async shape(name: string): Promise<Shape | null> {
    return (await this.file(this.places.get(name)!))?.entry(name).shape ?? null;
  }

  /** The shape of a tensor if that is known without opening a file that is not open. */
  knownShape(name: string): Shape | null {
    return this.opened.get(this.places.get(name)!)?.entry(name).shape ?? null;
  }

  /** The bytes of a tensor as they are stored; of one whose file is there. */
  async bytes(name: string): Promise<Uint8Array> {
    this.options.signal?.throwIfAborted();
    return (await this.file(this.places.get(name)!))!.bytes(name);
  }

  /** Reads a tensor for the last time. */
  async take(name: string): Promise<ReadTensor> {
    const place = this.places.get(name)!;
    const bytes = await this.bytes(name);
    const file = this.opened.get(place)!;
    const { dtype, data } = convertToEngine(name, file.entry(name).dtype, bytes);
    this.report(place, file, bytes.length);
    this.done(name);
    return dtype === "float16"
      ? { dtype: "float32", elements: fromFloat16(data as Uint16Array) }
      : { dtype, elements: data as Elements };
  }

  /** Says that a tensor will not be read. */
  done(name: string): void {
    const place = this.places.get(name)!;
    const waiting = this.waiting.get(place)!;
    waiting.delete(name);
    const file = this.opened.get(place);
    if (waiting.size > 0 || file === undefined) return;
    this.opened.delete(place);
    file[Symbol.dispose]();
  }

  /** Closes all files. */
  async close(): Promise<void> {
    for (const file of this.opened.values()) await file.close();
    this.opened.clear();
  }

  private async file(place: string): Promise<SafetensorsFile | null> {
    const known = this.opened.get(place);
    if (known !== undefined) return known;
    if (this.missingFiles.has(place)) return null;
    const file = await this.files.open(place, this.options);
    if (file === null) {
      this.missingFiles.add(place);
      return null;
    }
    this.opened.set(place, file);
    for (const name of this.waiting.get(place)!) {
      if (file.has(name)) continue;
      throw unloadable(
        `${place} must hold the tensors that ${weightFiles.index} says it holds, got one without ${JSON.stringify(name)}. Fetch both files again.`,
      );
    }
    return file;
  }

  /** Tells how much of a file was read, unless fetching it told that already. */
  private report(place: string, file: SafetensorsFile, bytes: number): void {
    const { onProgress } = this.options;
    if (onProgress === undefined || !this.files.opensCheaply) return;
    const loadedBytes = (this.bytesRead.get(place) ?? 0) + bytes;
    this.bytesRead.set(place, loadedBytes);
    const totalBytes = file.names.reduce((sum, name) => sum + file.entry(name).byteLength, 0);
    onProgress({ file: place, loadedBytes, totalBytes });
  }
}

/** In which file each tensor is, as an index says. */
function placesOf(text: string): ReadonlyMap<string, string> {
  const { weight_map: map } = parseObject(weightFiles.index, text);
  const places = Object.entries(typeof map === "object" ? (map ?? {}) : {});
  // A name with a path could lead out of the folder.
  const wrong = places.find(
    ([, file]) => typeof file !== "string" || !/^[^/\\]+\.safetensors$/.test(file),
  );
  if (places.length === 0 || wrong !== undefined) {
    throw unloadable(
      `${weightFiles.index} must say for each tensor in which file it is, got ${wrong === undefined ? "no weight_map" : `${JSON.stringify(wrong[1])} for ${JSON.stringify(wrong[0])}`}. Fetch it again.`,
    );
  }
  return new Map(places as [string, string][]);
}
