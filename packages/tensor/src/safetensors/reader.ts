/** Reading safetensors files: the header at once, each tensor when it is asked for. */

import { XError } from "../error.js";
import { convertToEngine } from "./convert.js";
import type { ConvertedData } from "./convert.js";
import { damaged, lengthSize, quote } from "./format.js";
import { parseHeader, parseHeaderLength } from "./header.js";
import type { SafetensorsEntry, SafetensorsHeader } from "./header.js";
import { readRange, toRandomAccess } from "./source.js";
import type { RandomAccessSource, SafetensorsSource } from "./source.js";

/**
 * An open safetensors file, made by {@link openSafetensors} or `openSafetensorsFile`. Its header
 * has been checked as a whole; the bytes of a tensor are read when asked for, and not kept.
 */
export class SafetensorsFile implements AsyncDisposable, Disposable {
  /** Names of the tensors, in the order of their data. */
  readonly names: readonly string[];
  /** The text notes of the file; empty where it has none. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly #entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly #source: RandomAccessSource;
  #closed: Promise<void> | undefined;

  /** Use {@link openSafetensors}. */
  constructor(header: SafetensorsHeader, source: RandomAccessSource) {
    this.names = [...header.entries.keys()];
    this.metadata = header.metadata;
    this.#entries = header.entries;
    this.#source = source;
  }

  /** Whether the file holds a tensor of that name. */
  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /**
   * Element type, shape and place of a tensor.
   *
   * @throws XError `checkpoint` if there is no such tensor
   */
  entry(name: string): SafetensorsEntry {
    const entry = this.#entries.get(name);
    if (entry === undefined) {
      throw damaged(
        `SafetensorsFile: the file must hold the tensor that is asked for, got the name ${quote(name)}, which it lacks. ` +
          "Choose one of file.names.",
      );
    }
    return entry;
  }

  /**
   * Reads the bytes of a tensor as they stand in the file: little-endian, row-major. From a source
   * in memory they are a view of it, not a copy.
   *
   * @throws XError `checkpoint` if there is no such tensor or it cannot be read; `disposed` if the
   * file is closed
   */
  async bytes(name: string): Promise<Uint8Array> {
    const { byteOffset, byteLength } = this.entry(name);
    if (this.#closed !== undefined) {
      throw new XError(
        "disposed",
        `SafetensorsFile: the file must be open to be read, got a closed one for ${quote(name)}. Read before closing it.`,
      );
    }
    if (byteLength === 0) return new Uint8Array(0);
    return readRange("SafetensorsFile", this.#source, byteOffset, byteLength);
  }

  /**
   * Reads a tensor and converts it to the nearest type of the engine: BF16 and F64 become float32,
   * narrow integers int32, I64 int32 and U64 uint32 where every value fits. Types that the engine
   * cannot hold are refused. The elements may be a view of a source in memory.
   *
   * @throws XError as `bytes` does; `dtype` if the engine cannot hold the type or a value
   */
  async data(name: string): Promise<ConvertedData> {
    const bytes = await this.bytes(name);
    return convertToEngine(name, this.entry(name).dtype, bytes);
  }

  /** Releases the source. What was read stays valid; further reads are refused. */
  async close(): Promise<void> {
    this.#closed ??= Promise.resolve(this.#source.close?.());
    return this.#closed;
  }

  /** Closes the file at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Closes the file at the end of a `using` block, without waiting until that is done. */
  [Symbol.dispose](): void {
    // Nobody is left to hear of a failure, and nothing was written that it could lose.
    this.close().catch(() => undefined);
  }
}

/**
 * Opens a safetensors file: reads and checks its header. Tensors are read one by one afterwards,
 * so a large file in a `Blob` or behind a file handle never has to be in memory as a whole.
 *
 * @throws XError `checkpoint` if the file cannot be read, is damaged or was made to do harm
 * @example
 * ```ts
 * import { openSafetensors, writeSafetensors } from "@x/tensor/safetensors";
 *
 * const bytes = new Uint8Array(new Float32Array([1, 2, 3]).buffer);
 * const written = writeSafetensors([{ name: "weight", dtype: "F32", shape: [3], bytes }]);
 *
 * const file = await openSafetensors(new Blob([written]));
 * const { dtype, data } = await file.data("weight");
 * console.log(file.names, file.entry("weight").shape); // → [ 'weight' ] [ 3 ]
 * console.log(dtype, data); // → float32 Float32Array(3) [ 1, 2, 3 ]
 * ```
 */
export async function openSafetensors(source: SafetensorsSource): Promise<SafetensorsFile> {
  return openSource("openSafetensors", toRandomAccess("openSafetensors", source));
}

/** Opens a source; `op` begins the message of an error. */
export async function openSource(op: string, source: RandomAccessSource): Promise<SafetensorsFile> {
  const { size } = source;
  const prefix = await readRange(op, source, 0, Math.min(lengthSize, size));
  const length = parseHeaderLength(op, prefix, size);
  const json = await readRange(op, source, lengthSize, length);
  // A copy, because bytes of a shared buffer could change between their check and their use.
  return new SafetensorsFile(parseHeader(op, json.slice(), size), source);
}
