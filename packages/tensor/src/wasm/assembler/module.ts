/** Modules: memory, functions and exports put together into bytes. */

import { XError } from "../../error.js";
import { ByteBuffer, name, unsigned, vector } from "./code.js";
import type { Expression, V128, ValueType } from "./expression.js";
import {
  type Arguments,
  FunctionBuilder,
  type FunctionReference,
  type Parameters,
  parameterLocals,
  type Signature,
} from "./function.js";
import { f32x4, f64x2 } from "./lanes.js";

/** The imported memory `env.memory`. */
export interface MemoryImport {
  /** Whether threads share it; then `maximumPages` is required. */
  readonly shared: boolean;
  /** Pages of 64 KiB it has at least. */
  readonly minimumPages?: number;
  /** Pages it may grow to; must be what the memory was made with. */
  readonly maximumPages?: number;
}

/** How a module is made. */
export interface ModuleOptions {
  /** Whether relaxed SIMD may be used (see `supportsRelaxedSimd`). */
  readonly relaxed?: boolean;
  /** The imported memory; by default one that is not shared. `null`: no memory. */
  readonly memory?: MemoryImport | null;
  /** Whether `env.table`, a table of functions, is imported for `callIndirect`. */
  readonly importTable?: boolean;
}

/** Collects functions and writes the module. */
export class ModuleBuilder {
  /** Whether relaxed SIMD may be used. */
  readonly relaxed: boolean;
  private readonly options: ModuleOptions;
  private readonly types: number[][] = [];
  // Of each function: the number of its type, and the bytes of its body.
  private readonly functionTypes: number[] = [];
  private readonly bodies: Uint8Array[] = [];
  private readonly named = new Map<string, FunctionReference>();
  private readonly exports: number[][] = [];
  private tableEntries: readonly FunctionReference[] | null = null;

  constructor(options: ModuleOptions = {}) {
    this.relaxed = options.relaxed ?? false;
    this.options = options;
  }

  private typeIndex({ parameters, result }: Signature): number {
    const results = result ? [1, result.id] : [0];
    const type = [0x60, parameters.length, ...parameters.map(({ id }) => id), ...results];
    const found = this.types.findIndex((other) => other.join() === type.join());
    return found < 0 ? this.types.push(type) - 1 : found;
  }

  private reference<P extends readonly ValueType[], R extends Expression | null>(
    signature: Signature<P, R>,
    index: number,
  ): FunctionReference<P, R> {
    // The types say that only functions with a result are called as expressions.
    const call = (...args: Arguments<P>): R =>
      signature.result!.of([...(args as Expression[]), 0x10, ...unsigned(index)]) as R;
    return { index, signature, call };
  }

  /** Whether a function named `key` was added. */
  has(key: string): boolean {
    return this.named.has(key);
  }

  /** The function named `key`, if it was added. */
  get(key: string): FunctionReference | undefined {
    return this.named.get(key);
  }

  /**
   * Adds a function and exports it under its key. The body's callback writes the statements and
   * gives the result, if there is one. A function may call itself through `get(key)`.
   */
  function<const P extends readonly ValueType[], R extends Expression | null>(
    key: string,
    signature: Signature<P, R>,
    body: (
      f: FunctionBuilder,
      ...parameters: Parameters<P>
    ) => NoInfer<R> extends Expression ? NoInfer<R> : void,
    options: { readonly export?: boolean } = {},
  ): FunctionReference<P, R> {
    if (this.named.has(key)) {
      throw new XError(
        "internal",
        `ModuleBuilder: a function was added twice, got "${key}". Ask has(key) first.`,
      );
    }
    // The place is taken before the body is written: the body may add functions itself.
    const index = this.functionTypes.push(this.typeIndex(signature)) - 1;
    const reference = this.reference(signature, index);
    this.named.set(key, reference);
    const { parameters, result } = signature;
    const builder = new FunctionBuilder(parameters.length, (other) => this.typeIndex(other));
    const value = body(builder, ...parameterLocals(parameters));
    this.bodies[index] = builder.finish(result ? (value as Expression) : undefined);
    if (options.export ?? true) this.exports.push([...name(key), 0x00, ...unsigned(index)]);
    return reference;
  }

  /** Gives the module a table of its own that holds these functions, for `callIndirect`. */
  table(entries: readonly FunctionReference[]): void {
    this.tableEntries = entries;
  }

  /** `a * b + c` in float32 lanes, fused where that is available. */
  madd(a: V128, b: V128, c: V128): V128 {
    return this.relaxed ? f32x4.relaxedMadd(a, b, c) : f32x4.add(f32x4.multiply(a, b), c);
  }

  /** `c - a * b` in float32 lanes, fused where that is available. */
  nmadd(a: V128, b: V128, c: V128): V128 {
    return this.relaxed ? f32x4.relaxedNmadd(a, b, c) : f32x4.subtract(c, f32x4.multiply(a, b));
  }

  /** `a * b + c` in float64 lanes, fused where that is available. */
  maddF64(a: V128, b: V128, c: V128): V128 {
    return this.relaxed ? f64x2.relaxedMadd(a, b, c) : f64x2.add(f64x2.multiply(a, b), c);
  }

  private imports(): number[][] {
    const { memory = { shared: false }, importTable } = this.options;
    const imports: number[][] = [];
    if (memory) {
      const { shared, minimumPages = 0, maximumPages } = memory;
      const hasMaximum = maximumPages !== undefined;
      const flags = Number(hasMaximum) + 2 * Number(shared);
      const limits = [...unsigned(minimumPages), ...(hasMaximum ? unsigned(maximumPages) : [])];
      imports.push([...name("env"), ...name("memory"), 0x02, flags, ...limits]);
    }
    if (importTable) imports.push([...name("env"), ...name("table"), 0x01, 0x70, 0x00, 0x00]);
    return imports;
  }

  /** The module's bytes. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const table = this.tableEntries;
    const bytes = new ByteBuffer();
    bytes.append([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);
    const section = (id: number, items: readonly ArrayLike<number>[]): void => {
      if (items.length === 0) return;
      const content = vector(items);
      bytes.append([id, ...unsigned(content.length)]);
      bytes.append(content);
    };
    section(1, this.types);
    section(2, this.imports());
    section(3, this.functionTypes.map(unsigned));
    if (table) section(4, [[0x70, 0x00, ...unsigned(table.length)]]);
    section(7, this.exports);
    if (table) {
      const entries = vector(table.map(({ index }) => unsigned(index)));
      section(9, [[0x00, 0x41, 0x00, 0x0b, ...entries]]);
    }
    section(10, this.bodies);
    return Uint8Array.from(bytes.view());
  }
}
