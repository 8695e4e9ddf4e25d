/** What goes wrong on a GPU: told later, by events and promises, and kept until somebody waits. */

import { XError } from "@x/tensor";

/** The errors of a device. */
export class Faults {
  readonly #device: GPUDevice;
  #failure: XError | null = null;
  /** Answers that are still to come. */
  readonly #pending = new Set<Promise<void>>();
  readonly #makeRoom: () => void;

  /** `makeRoom` is called when memory ran out, for the sake of the next that needs some. */
  constructor(device: GPUDevice, makeRoom: () => void) {
    this.#device = device;
    this.#makeRoom = makeRoom;
    device.addEventListener("uncapturederror", ({ error }) => {
      this.#failure ??= isOutOfMemory(error) ? outOfMemory(error) : invalid("every command", error);
    });
    void device.lost.then(({ reason, message }) => {
      this.#failure = new XError(
        "device",
        `webgpu: the GPU must stay available, got a lost device (${reason || "unknown"}: ${message}). Make a new one with webgpu() and load saved parameters.`,
      );
    });
  }

  /** Throws what went wrong since the last call; what is lost stays lost. */
  check(): void {
    const failure = this.#failure;
    if (failure === null) return;
    if (failure.code !== "device") this.#failure = null;
    throw failure;
  }

  /** Waits for answers that are still to come, and throws what went wrong. */
  async settle(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
    this.check();
  }

  /** A new buffer. Where the GPU has no room for it, `onMissing` is called before `settle` throws. */
  createBuffer(descriptor: GPUBufferDescriptor, onMissing?: () => void): GPUBuffer {
    this.#device.pushErrorScope("out-of-memory");
    const buffer = this.#device.createBuffer(descriptor);
    const note = async (): Promise<void> => {
      // Only a lost device has no answer, and tells of its loss itself.
      const error = await this.#device.popErrorScope().catch(() => null);
      this.#pending.delete(answer);
      if (error === null) return;
      this.#failure ??= outOfMemory(error);
      onMissing?.();
      this.#makeRoom();
    };
    const answer = note();
    this.#pending.add(answer);
    return buffer;
  }

  /** Does what fails in vain where a buffer turns out to be missing. */
  whileUnsure(body: () => void): void {
    const isUnsure = this.#pending.size > 0;
    if (isUnsure) this.#device.pushErrorScope("validation");
    body();
    if (isUnsure) this.#device.popErrorScope().catch(() => null);
  }

  /** What a rejected promise of the device means. */
  async explain(error: unknown): Promise<XError> {
    // The loss may be told after what it caused.
    const pause = new Promise((resolve) => setTimeout(resolve, 100));
    await Promise.race([this.#device.lost, pause]);
    try {
      this.check();
    } catch (failure) {
      if (XError.isInstance(failure)) return failure;
    }
    return invalid("reading", error instanceof Error ? error : new Error(String(error)));
  }
}

/** A fault of ours: a command that WebGPU refuses. */
export function invalid(what: string, { message }: { readonly message: string }): XError {
  return new XError(
    "internal",
    `webgpu: ${what} must be valid, got: ${message}. Please report this.`,
  );
}

function outOfMemory({ message }: GPUError): XError {
  return new XError(
    "memory",
    `webgpu: the GPU must have room for what is computed, got: ${message}. Use smaller batches or dispose of tensors that are no longer needed.`,
  );
}

/** Whether an error says that memory ran out: its class is global in browsers only. */
function isOutOfMemory(error: GPUError): boolean {
  return error.constructor.name === "GPUOutOfMemoryError";
}
