/** What a case is built from, and what it gives. */

import { fromData, type Device, type Tensor } from "@x/tensor";
import type { Elements, RecordedTensor } from "../recorded/tensors.js";
import type { Settings } from "./settings.js";

/** A computed result. */
export type Output = Tensor | Elements;

/** What a runner computes. */
export interface Results {
  /** By the name after `output.` */
  readonly outputs: Readonly<Record<string, Output>>;
  /** Tensors whose `grad` is compared, besides the inputs; by the name after `grad.` */
  readonly parameters?: ReadonlyMap<string, Tensor>;
}

/** Builds a case and computes its results. */
export type Runner = (subject: Subject) => Results | Promise<Results>;

/**
 * The tensors and settings of a case, or of one of the operations in it: its names then lack the
 * operation's key.
 */
export class Subject {
  readonly device: Device;
  readonly settings: Settings;
  readonly recorded: ReadonlyMap<string, RecordedTensor>;
  readonly #leaves = new Map<string, Tensor>();

  constructor(
    device: Device,
    settings: Settings,
    recorded: ReadonlyMap<string, RecordedTensor>,
  ) {
    this.device = device;
    this.settings = settings;
    this.recorded = recorded;
  }

  /** What follows `<kind>.` in the names of the recorded tensors. */
  names(kind: "input" | "param" | "random" | "output" | "cotangent" | "grad"): string[] {
    const prefix = `${kind}.`;
    return [...this.recorded.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length));
  }

  hasInput(name: string): boolean {
    return this.recorded.has(`input.${name}`);
  }

  /** Input `name`, on the device; it requires a gradient if one was recorded. */
  input(name: string): Tensor {
    return this.leaf(`input.${name}`);
  }

  optionalInput(name: string): Tensor | undefined {
    return this.hasInput(name) ? this.input(name) : undefined;
  }

  /** Inputs `<name>0`, `<name>1`, …, or `<name>` alone. */
  inputs(name: string): Tensor[] {
    if (this.hasInput(name)) return [this.input(name)];
    const found: Tensor[] = [];
    while (this.hasInput(`${name}${found.length}`)) found.push(this.input(`${name}${found.length}`));
    return found;
  }

  /** The recorded tensor `name` (with its kind) as a leaf; the same one every time. */
  leaf(name: string): Tensor {
    let tensor = this.#leaves.get(name);
    if (tensor === undefined) {
      const { data, shape, dtype } = this.golden(name);
      const [, own] = /^(?:input|param)\.(.*)$/.exec(name) ?? [];
      const requiresGrad = own !== undefined && this.recorded.has(`grad.${own}`);
      tensor = fromData(data, shape, { dtype, device: this.device, requiresGrad });
      this.#leaves.set(name, tensor);
    }
    return tensor;
  }

  /** The leaf whose gradient is recorded as `grad.<name>`, if it was used. */
  usedLeaf(name: string): Tensor | undefined {
    return this.#leaves.get(`input.${name}`) ?? this.#leaves.get(`param.${name}`);
  }

  /** The recorded tensor `name`. */
  golden(name: string): RecordedTensor {
    const found = this.recorded.get(name);
    if (found === undefined) throw new Error(`the file must hold "${name}"`);
    return found;
  }

  /** The parameters, as a state dictionary. */
  stateDict(): Map<string, Tensor> {
    return new Map(
      this.names("param").map((name) => {
        const { data, shape, dtype } = this.golden(`param.${name}`);
        return [name, fromData(data, shape, { dtype, device: this.device })];
      }),
    );
  }
}
