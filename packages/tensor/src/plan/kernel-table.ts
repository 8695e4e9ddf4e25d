/**
 * The native kernels of a device, of which large families are loaded when a plan first needs them: a
 * program that never attends never fetches the code of attention, where a bundler splits it off.
 */

import { XError } from "../error.js";
import type { Graph } from "../graph/graph.js";
import type { Node } from "../graph/node.js";
import { expandPrimitives } from "./expand.js";

/** What is known of any native kernel. */
interface Kernel {
  /** Name of the operation. */
  readonly op: string;
  /** Whether this node can be done; without it every node of the operation can. */
  readonly supports?: (node: Node) => boolean;
}

/** Kernels that are loaded together. */
export interface KernelFamily<K> {
  /** The names of their operations. */
  readonly ops: readonly string[];
  /** Gives the kernels. */
  readonly load: () => Promise<readonly K[]>;
}

/** Native kernels by operation. */
export class KernelTable<K extends Kernel> {
  readonly #kernels: Map<string, K>;
  /** Families that are not loaded, by each of their operations. */
  readonly #waiting: Map<string, KernelFamily<K>>;

  constructor(kernels: readonly K[], families: readonly KernelFamily<K>[]) {
    this.#kernels = new Map(kernels.map((kernel) => [kernel.op, kernel]));
    this.#waiting = new Map(families.flatMap((family) => family.ops.map((op) => [op, family])));
  }

  /** The kernel that does a node of an expanded graph, if there is one. */
  find(node: Node): K | undefined {
    const kernel = this.#kernels.get(node.op.name);
    return kernel?.supports?.(node) === false ? undefined : kernel;
  }

  /**
   * The graph for the device, see `expandPrimitives`, once all kernels that it needs are loaded.
   * `graph` is read before anything is waited for, since what it is cut out of may change.
   */
  async expand(graph: Graph): Promise<Graph> {
    for (let latest = graph; ;) {
      const isWaiting = ({ op }: Node): boolean => this.#waiting.has(op.name);
      const isNative = (node: Node): boolean => isWaiting(node) || this.find(node) !== undefined;
      latest = expandPrimitives(latest, isNative);
      const needed = latest.nodes.filter(isWaiting);
      if (needed.length === 0) return latest;
      await this.#load(needed.map(({ op }) => op.name));
    }
  }

  /** Every kernel, by operation. */
  async all(): Promise<ReadonlyMap<string, K>> {
    await this.#load([...this.#waiting.keys()]);
    return this.#kernels;
  }

  async #load(names: readonly string[]): Promise<void> {
    const families = new Set(names.flatMap((name) => this.#waiting.get(name) ?? []));
    for (const { ops, load } of families) {
      let kernels: readonly K[];
      try {
        kernels = await load();
      } catch (error) {
        throw new XError(
          "unsupported",
          `plan: the code of ${ops.join(" and ")} must load, got: ${error instanceof Error ? error.message : String(error)}. Serve all files that the bundler made, and try again.`,
          { cause: error },
        );
      }
      for (const kernel of kernels) this.#kernels.set(kernel.op, kernel);
      for (const op of ops) this.#waiting.delete(op);
    }
  }
}
