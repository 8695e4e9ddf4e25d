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

interface Defined {
  readonly type: number;
  readonly body: Uint8Array;
}

const functionKind = 0x00;

/** Collects functions and writes the module. */
export class ModuleBuilder {
  /** Whether relaxed SIMD may be used. */
  readonly relaxed: boolean;
  private readonly memory: MemoryImport | null;
  private readonly importsTable: boolean;
  private readonly types = new Map<string, number>();
  private readonly typeBytes: number[][] = [];
  private readonly functions: (Defined | null)[] = [];
  private readonly named = new Map<string, FunctionReference>();
  private readonly exports: number[][] = [];
  private tableEntries: readonly FunctionReference[] | null = null;

  constructor(options: ModuleOptions = {}) {
    this.relaxed = options.relaxed ?? false;
    this.memory = options.memory === undefined ? { shared: false } : options.memory;
    this.importsTable = options.importTable ?? false;
  }

  private typeIndex(signature: Signature): number {
    const parameters = signature.parameters.map((type) => type.id);
    const results = signature.result ? [signature.result.id] : [];
    const key = `${parameters.join()}:${results.join()}`;
    let index = this.types.get(key);
    if (index === undefined) {
      index = this.types.size;
      this.types.set(key, index);
      const bytes = [0x60, ...unsigned(parameters.length), ...parameters];
      this.typeBytes.push([...bytes, ...unsigned(results.length), ...results]);
    }
    return index;
  }

  private reference<P extends readonly ValueType[], R extends Expression | null>(
    signature: Signature<P, R>,
    index: number,
  ): FunctionReference<P, R> {
    const call = (...args: Arguments<P>): R => {
      const result = signature.result;
      if (!result) {
        throw new XError(
          "internal",
          "call: a function without result was used as an expression. Use FunctionBuilder.call.",
        );
      }
      return result.of([...(args as Expression[]), 0x10, ...unsigned(index)]) as R;
    };
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
    const index = this.functions.length;
    const reference = this.reference(signature, index);
    this.named.set(key, reference);
    // The place is taken before the body is written: the body may add functions itself.
    this.functions.push(null);
    const builder = new FunctionBuilder(signature.parameters.length, (s) => this.typeIndex(s));
    const result = body(builder, ...parameterLocals(signature.parameters));
    const type = this.typeIndex(signature);
    this.functions[index] = {
      type,
      body: builder.finish(signature.result ? (result as Expression) : undefined),
    };
    if (options.export ?? true) {
      this.exports.push([...name(key), functionKind, ...unsigned(index)]);
    }
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
    const imports: number[][] = [];
    if (this.memory) {
      const { shared, minimumPages = 0, maximumPages } = this.memory;
      const flags = (maximumPages === undefined ? 0 : 1) | (shared ? 2 : 0);
      const limits = [
        flags,
        ...unsigned(minimumPages),
        ...(maximumPages === undefined ? [] : unsigned(maximumPages)),
      ];
      imports.push([...name("env"), ...name("memory"), 0x02, ...limits]);
    }
    if (this.importsTable) imports.push([...name("env"), ...name("table"), 0x01, 0x70, 0x00, 0x00]);
    return imports;
  }

  /** The module's bytes. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const functions = this.functions.filter((entry) => entry !== null);
    const table = this.tableEntries;
    const bytes = new ByteBuffer();
    bytes.append([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);
    const section = (id: number, items: readonly ArrayLike<number>[]): void => {
      if (items.length === 0) return;
      const content = vector(items);
      bytes.push(id);
      bytes.append(unsigned(content.length));
      bytes.append(content);
    };
    section(1, this.typeBytes);
    section(2, this.imports());
    section(
      3,
      functions.map((entry) => unsigned(entry.type)),
    );
    if (table) section(4, [[0x70, 0x00, ...unsigned(table.length)]]);
    section(7, this.exports);
    if (table) {
      const entries = vector(table.map((entry) => unsigned(entry.index)));
      section(9, [[0x00, 0x41, 0x00, 0x0b, ...entries]]);
    }
    section(
      10,
      functions.map((entry) => entry.body),
    );
    return Uint8Array.from(bytes.view());
  }
}
