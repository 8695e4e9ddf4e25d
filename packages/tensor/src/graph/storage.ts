/** The numbers of a leaf: on the JavaScript side, on the device, or both. */

import { XError } from "../error.js";
import type { Device, DeviceBuffer } from "../device/device.js";
import type { DataOf } from "../tensor/dtype.js";
import type { Value } from "./node.js";

/**
 * Owns the numbers of one leaf.
 *
 * Data that came from JavaScript stays there (`host`) until a plan uses it for the second time or
 * updates it in place; a batch that is fed once never takes device memory of its own.
 */
export class Storage {
  readonly device: Device;
  readonly byteLength: number;
  /** The numbers on the JavaScript side, if they are current there. */
  host: DataOf | null;
  /** The numbers on the device, if they are there. */
  buffer: DeviceBuffer | null;
  /** Plans that have read it while it was on the JavaScript side only. */
  uses = 0;
  /** Counts the in-place updates; a value remembers which version it stands for. */
  version = 0;
  /** Copies that were asked for and not made yet: an update in place has to wait for them. */
  readonly copies: Set<Value> = new Set();
  #gone: "disposed" | null = null;

  constructor(
    device: Device,
    byteLength: number,
    host: DataOf | null,
    buffer: DeviceBuffer | null,
  ) {
    this.device = device;
    this.byteLength = byteLength;
    this.host = host;
    this.buffer = buffer;
  }

  /** Whether `release` was called. */
  get released(): boolean {
    return this.#gone !== null;
  }

  /** Gives the memory back at once. Later use is an error. */
  release(): void {
    if (this.#gone !== null) return;
    this.#gone = "disposed";
    this.host = null;
    this.buffer?.release();
    this.buffer = null;
  }

  /** Throws if the numbers are gone. */
  checkAlive(op: string): void {
    if (this.#gone !== null) {
      throw new XError(
        "disposed",
        `${op}: the tensor must still hold its numbers, got one that was disposed. Keep it until its last use.`,
      );
    }
  }

  /** Keeps the numbers, which are those on the device, on the JavaScript side only. */
  moveToHost(numbers: DataOf): void {
    if (this.#gone !== null) return;
    this.host = numbers;
    this.buffer?.release();
    this.buffer = null;
  }

  /** The buffer on the device, made and filled if the numbers were only on the JavaScript side. */
  ensureBuffer(): DeviceBuffer {
    if (this.buffer === null) {
      this.buffer = this.device.allocate(this.byteLength);
      if (this.host !== null) this.device.write(this.buffer, this.host);
    }
    return this.buffer;
  }
}
