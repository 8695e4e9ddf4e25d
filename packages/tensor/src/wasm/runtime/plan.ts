/** A compiled graph on the CPU device: launches in memory, and what to write there before a run. */

import type { Bindings, Executable } from "../../device/device.js";
import type { Graph } from "../../graph/graph.js";
import { bytesPerElement, type DataOf } from "../../tensor/dtype.js";
import { sizeOf } from "../../tensor/shape.js";
import { layOut, type Life } from "../../plan/arena.js";
import type { PlanBuffer } from "../../plan/schedule.js";
import type { Launch } from "../launch.js";
import type { WasmBuffer, WasmRuntime } from "./runtime.js";
import { launchBytes } from "./driver.js";

/** A place in the argument words that holds the address of a buffer. */
interface AddressPatch {
  readonly word: number;
  readonly offset: number;
}

/** What `compilePlan` needs. */
export interface PlanParts {
  readonly graph: Graph;
  readonly buffers: readonly PlanBuffer[];
  readonly launches: readonly Launch[];
}

const align = (bytes: number): number => Math.ceil(bytes / 64) * 64;

/** Places intermediates, writes arguments and launches to memory. */
export class WasmPlan implements Executable {
  readonly #runtime: WasmRuntime;
  readonly #launches: readonly Launch[];
  readonly #inputBytes: readonly number[];
  readonly #outputBytes: readonly number[];
  readonly #arenaBytes: number;
  readonly #scratchBytes: number;
  /** Where the argument words and the launch descriptions lie. */
  readonly #block: number;
  readonly #launchAddress: number;
  /** Per graph input, output and intermediate: the words that hold its address. */
  readonly #inputPatches: readonly (readonly AddressPatch[])[];
  readonly #outputPatches: readonly (readonly AddressPatch[])[];
  readonly #arenaPatches: readonly AddressPatch[];
  readonly #scalarPatches: readonly { word: number; scalar: number }[];
  readonly #scalarIsFloat: readonly boolean[];
  readonly #arenaBase = { address: -1 };
  readonly #bytesOfLaunch: readonly number[];

  constructor(runtime: WasmRuntime, { graph, buffers, launches }: PlanParts) {
    this.#runtime = runtime;
    this.#launches = launches;
    this.#inputBytes = graph.inputs.map(
      (value) => sizeOf(value.shape) * bytesPerElement(value.dtype),
    );
    this.#outputBytes = graph.outputs.map(
      (value) => sizeOf(value.shape) * bytesPerElement(value.dtype),
    );
    this.#scalarIsFloat = graph.scalars.map((node) => node.outputs[0]!.dtype === "float32");
    const lives = livesOf(buffers, launches);
    const arena = layOut([...lives.values()]);
    const offsetOf = new Map([...lives.keys()].map((buffer, i) => [buffer, arena.offsets[i]!]));
    this.#arenaBytes = arena.bytes;
    this.#scratchBytes = Math.max(0, ...launches.map((launch) => launch.scratchBytes));
    this.#bytesOfLaunch = launches.map((launch) =>
      [...launch.reads, ...launch.writes].reduce((sum, b) => sum + buffers[b]!.bytes, 0),
    );

    const wordCount = launches.reduce((sum, launch) => sum + launch.arguments.length, 0);
    const argumentBytes = align(wordCount * 4);
    this.#block = runtime.memory.allocate(argumentBytes + launches.length * launchBytes);
    this.#launchAddress = this.#block + argumentBytes;
    const inputPatches: AddressPatch[][] = graph.inputs.map(() => []);
    const outputPatches: AddressPatch[][] = graph.outputs.map(() => []);
    const arenaPatches: AddressPatch[] = [];
    const scalarPatches: { word: number; scalar: number }[] = [];
    let word = this.#block >> 2;
    let record = this.#launchAddress >> 2;
    const { words, floats } = runtime.memory;
    for (const launch of launches) {
      words[record++] = runtime.code.number(launch.code);
      words[record++] = word * 4;
      words[record++] = launch.items;
      words[record++] = Math.max(1, launch.grain);
      for (const argument of launch.arguments) {
        switch (argument.kind) {
          case "int":
            words[word] = argument.value;
            break;
          case "float":
            floats[word] = argument.value;
            break;
          case "scalar":
            scalarPatches.push({ word, scalar: argument.scalar });
            break;
          case "buffer": {
            const buffer = buffers[argument.buffer]!;
            const offset = argument.offset ?? 0;
            if (buffer.kind === "input") inputPatches[buffer.input]!.push({ word, offset });
            else if (buffer.kind === "output") outputPatches[buffer.output]!.push({ word, offset });
            else {
              arenaPatches.push({ word, offset: offset + offsetOf.get(argument.buffer)! });
            }
          }
        }
        word++;
      }
    }
    this.#inputPatches = inputPatches;
    this.#outputPatches = outputPatches;
    this.#arenaPatches = arenaPatches;
    this.#scalarPatches = scalarPatches;
  }

  run(bindings: Bindings): readonly (ArrayBuffer | null)[] {
    const { inputs, outputs } = bindings;
    const runtime = this.#runtime;
    // Behind the intermediates: data that comes from or goes to JavaScript.
    let end = this.#arenaBytes;
    inputs.forEach((input, i) => {
      if (isHostData(input)) end += align(this.#inputBytes[i]!);
    });
    outputs.forEach((output, i) => {
      if (output === null) end += align(this.#outputBytes[i]!);
    });
    const arena = runtime.arena(end);
    runtime.ensureScratch(this.#scratchBytes);
    const { words, floats, bytes } = runtime.memory;
    if (this.#arenaBase.address !== arena) {
      this.#arenaBase.address = arena;
      patch(words, this.#arenaPatches, arena);
    }
    let staged = arena + this.#arenaBytes;
    inputs.forEach((input, i) => {
      let address;
      if (isHostData(input)) {
        address = staged;
        staged += align(this.#inputBytes[i]!);
        bytes.set(new Uint8Array(input.buffer, input.byteOffset, input.byteLength), address);
      } else {
        ({ address } = input as WasmBuffer);
      }
      patch(words, this.#inputPatches[i]!, address);
    });
    const results = staged;
    outputs.forEach((output, i) => {
      let address;
      if (output === null) {
        address = staged;
        staged += align(this.#outputBytes[i]!);
      } else {
        ({ address } = output as WasmBuffer);
      }
      patch(words, this.#outputPatches[i]!, address);
    });
    for (const { word, scalar } of this.#scalarPatches) {
      const value = bindings.scalars[scalar]!;
      if (this.#scalarIsFloat[scalar] === true) floats[word] = value;
      else words[word] = value;
    }

    if (bindings.profile === null) {
      runtime.run(this.#launchAddress, this.#launches.length);
    } else {
      this.#launches.forEach((launch, i) => {
        const start = performance.now();
        runtime.run(this.#launchAddress + i * launchBytes, 1);
        bindings.profile!.kernel(launch.name, performance.now() - start, this.#bytesOfLaunch[i]!);
      });
    }

    let result = results;
    return outputs.map((output, i) => {
      if (output !== null) return null;
      const length = this.#outputBytes[i]!;
      const numbers = new ArrayBuffer(length);
      new Uint8Array(numbers).set(runtime.memory.bytes.subarray(result, result + length));
      result += align(length);
      return numbers;
    });
  }

  release(): void {
    this.#runtime.memory.release(this.#block);
  }
}

function isHostData(input: Bindings["inputs"][number]): input is DataOf {
  return ArrayBuffer.isView(input);
}

function patch(words: Int32Array, patches: readonly AddressPatch[], address: number): void {
  for (const { word, offset } of patches) words[word] = address + offset;
}

/** The lives of the intermediates, in launches. */
function livesOf(buffers: readonly PlanBuffer[], launches: readonly Launch[]): Map<number, Life> {
  const lives = new Map<number, Life>();
  launches.forEach((launch, time) => {
    for (const buffer of [...launch.reads, ...launch.writes]) {
      const description = buffers[buffer]!;
      if (description.kind !== "temporary") continue;
      const life = lives.get(buffer);
      if (life === undefined) {
        lives.set(buffer, { bytes: description.bytes, first: time, last: time });
      } else life.last = time;
    }
  });
  return lives;
}
