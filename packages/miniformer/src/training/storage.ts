/** Where checkpoints are kept. */

/** Whether something is called as checkpoints are: `step-000010`, or `step-000010-2` for another. */
export function isCheckpointName(name: string): boolean {
  return /^step-\d+(-\d+)?$/.test(name);
}

/** The files of a checkpoint by their names. */
export type CheckpointFiles = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/**
 * A place for checkpoints: each is a few files under one name, and there as a whole or not at all.
 * {@link folderStorage} keeps them in a folder, {@link originPrivateStorage} in a page,
 * {@link MemoryStorage} in memory, from where a page can offer them as downloads.
 */
export interface CheckpointStorage {
  /** The names of all complete checkpoints. */
  list(): Promise<string[]>;
  /**
   * Writes a checkpoint under a name that is not taken. Until it is complete nothing can be seen of
   * it; what an interrupted attempt left behind is removed.
   */
  write(name: string, files: CheckpointFiles): Promise<void>;
  /** A file of a checkpoint, or `null` if there is none. */
  read(name: string, file: string): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Removes a checkpoint, if it is there. */
  remove(name: string): Promise<void>;
  /** Replaces a small file beside the checkpoints, at once. */
  writeNote(file: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** A small file beside the checkpoints, or `null`. */
  readNote(file: string): Promise<Uint8Array<ArrayBuffer> | null>;
}

/**
 * Checkpoints in memory: for tests, and for pages that offer them as downloads.
 *
 * @example
 * ```ts
 * const storage = new MemoryStorage();
 * await storage.write("step-000001", new Map([["run.json", new TextEncoder().encode("{}")]]));
 * console.log(await storage.list()); // → [ 'step-000001' ]
 * ```
 */
export class MemoryStorage implements CheckpointStorage {
  readonly #checkpoints = new Map<string, CheckpointFiles>();
  readonly #notes = new Map<string, Uint8Array<ArrayBuffer>>();

  /** The names of all checkpoints. */
  async list(): Promise<string[]> {
    return [...this.#checkpoints.keys()];
  }

  /** Keeps a checkpoint. */
  async write(name: string, files: CheckpointFiles): Promise<void> {
    this.#checkpoints.set(name, new Map(files));
  }

  /** A file of a checkpoint, or `null`. */
  async read(name: string, file: string): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#checkpoints.get(name)?.get(file) ?? null;
  }

  /** All files of a checkpoint, or `null`: what a page offers as downloads. */
  files(name: string): CheckpointFiles | null {
    return this.#checkpoints.get(name) ?? null;
  }

  /** Forgets a checkpoint. */
  async remove(name: string): Promise<void> {
    this.#checkpoints.delete(name);
  }

  /** Keeps a small file. */
  async writeNote(file: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#notes.set(file, bytes);
  }

  /** A small file, or `null`. */
  async readNote(file: string): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#notes.get(file) ?? null;
  }
}
