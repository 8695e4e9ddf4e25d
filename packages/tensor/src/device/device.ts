/** The device interface: what a place that computes must offer. */

import type { Graph } from "../graph/graph.js";
import type { DataOf } from "../tensor/dtype.js";

/** Memory of a device, held until released (or until the garbage collector finds it unreachable). */
export interface DeviceBuffer {
  /** Its size. */
  readonly byteLength: number;
  /** Gives the memory back. */
  release(): void;
}

/** Live memory of a device, in bytes. */
export interface MemoryUse {
  /** Held by tensors: parameters, state, results that were kept. */
  readonly tensors: number;
  /** Held by plans: intermediates and staging, shared by all plans of the device. */
  readonly plans: number;
  /** Both together. */
  readonly total: number;
}

/** One kernel in a profile. */
export interface KernelTiming {
  /** What ran, with its sizes. */
  readonly name: string;
  /** How often it ran. */
  readonly calls: number;
  /** Time in milliseconds, all calls together. */
  readonly milliseconds: number;
  /** Bytes read and written, all calls together; an estimate from shapes. */
  readonly bytes: number;
}

/** Collects what a device did while `profile` runs. */
export interface ProfileSink {
  /** Called after each kernel, with its wall time and an estimate of the bytes it moved. */
  kernel(name: string, milliseconds: number, bytes: number): void;
}

/** The data a compiled graph runs on. */
export interface Bindings {
  /** One per graph input: memory of this device, or data still on the JavaScript side. */
  readonly inputs: readonly (DeviceBuffer | DataOf)[];
  /** One per runtime scalar. */
  readonly scalars: readonly number[];
  /** One per graph output: where to write, or `null` to get the numbers back as an `ArrayBuffer`. */
  readonly outputs: readonly (DeviceBuffer | null)[];
  /** Set while profiling. */
  readonly profile: ProfileSink | null;
}

/** A graph made ready to run. */
export interface Executable {
  /**
   * Runs it. Gives the numbers of the outputs bound to `null` (`null` for the others), at once on a
   * device that has computed them when it returns.
   */
  run(
    bindings: Bindings,
  ): readonly (ArrayBuffer | null)[] | Promise<readonly (ArrayBuffer | null)[]>;
  /** Gives back what compilation took. */
  release(): void;
}

/** A place that computes. */
export interface Device {
  /** Short name, e.g. `wasm`, `reference`, `webgpu`. */
  readonly name: string;
  /** Facts for people and programs: threads, adapter, features. */
  readonly info: Readonly<Record<string, string | number | boolean>>;
  /** Results of at most this many bytes are handed to JavaScript rather than kept in memory. */
  readonly smallResultBytes: number;
  /** New memory, its contents undefined; throws an `XError` `memory` where it does not fit. */
  allocate(byteLength: number): DeviceBuffer;
  /** Copies numbers from JavaScript. */
  write(buffer: DeviceBuffer, data: DataOf): void;
  /** Copies the first bytes of a buffer to JavaScript. */
  read(buffer: DeviceBuffer, byteLength: number): Promise<ArrayBuffer>;
  /** Makes a graph ready to run; called once for each structure. */
  compile(graph: Graph): Promise<Executable>;
  /** What the device holds now. */
  memory(): MemoryUse;
}
