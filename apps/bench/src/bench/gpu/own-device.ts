/** Computations on GPU devices of their own, so that the memory of each can be told. */

import { getDevice, setDevice } from "@x/tensor";
import type { Competitor } from "../measure.js";
import type { Prepared } from "../peers/peer.js";
import { openGpu, type OpenedGpu } from "./open.js";
import { launchFigures } from "./tensors.js";

/** Something prepared on a device that nothing else uses. */
export class OwnDevice implements Competitor {
  readonly name: string;
  readonly #opened: OpenedGpu;
  readonly #prepared: Prepared;

  private constructor(name: string, opened: OpenedGpu, prepared: Prepared) {
    this.name = name;
    this.#opened = opened;
    this.#prepared = prepared;
  }

  /** Opens a device and prepares something on it, which is run once. */
  static async open(name: string, prepare: () => Promise<Prepared>): Promise<OwnDevice> {
    const opened = await openGpu();
    try {
      return await on(opened, async () => {
        const prepared = await prepare();
        await prepared.run();
        await prepared.result();
        return new OwnDevice(name, opened, prepared);
      });
    } catch (error) {
      opened.gpu.destroy();
      throw error;
    }
  }

  turn(runs: number): Promise<number> {
    return on(this.#opened, async () => {
      const start = performance.now();
      for (let run = 0; run < runs; run++) await this.#prepared.run();
      await this.#opened.gpu.queue.onSubmittedWorkDone();
      return performance.now() - start;
    });
  }

  result(): Promise<Float32Array> {
    return on(this.#opened, () => this.#prepared.result());
  }

  /** What the library tells of it, and the launches of a run. */
  async figures(): Promise<Readonly<Record<string, number>>> {
    const own = await on(this.#opened, () => Promise.resolve(this.#prepared.figures?.() ?? {}));
    return { ...own, ...(await launchFigures(() => this.turn(1))) };
  }

  close(): void {
    this.#opened.gpu.destroy();
  }
}

/** Does something while a device is the current one. */
async function on<T>({ device }: OpenedGpu, act: () => Promise<T>): Promise<T> {
  const before = getDevice();
  setDevice(device);
  try {
    return await act();
  } finally {
    setDevice(before);
  }
}
