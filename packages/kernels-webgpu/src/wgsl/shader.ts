/**
 * Writes the text of a compute shader: bindings, access to elements, entry point.
 *
 * Memory holds every element type of the library; arithmetic happens in `f32`, `i32`, `u32` and
 * `bool`. float16, int8 and bool share words with their neighbours, so that they are stored with
 * atomic operations on the bits that belong to them; float16 not where the device has `shader-f16`.
 */

import { XError, type DType } from "@x/tensor";
import type { Launch } from "../launch.js";
import { checkElements } from "../sizes.js";
import { Helpers, wgslType } from "./functions.js";

/** Most workgroups along one axis of a dispatch, in every implementation. */
const mostWorkgroups = 65535;

/** A buffer of a shader. */
export interface Slot {
  /** Its binding. */
  readonly binding: number;
  /** Type of the elements in memory. */
  readonly dtype: DType;
  /** Elements that are loaded and stored at once: 4 as a vector. */
  readonly width: Width;
}

/** How many elements a shader loads and stores at once. */
export type Width = 1 | 4;

/** How a shader uses a plan buffer. */
export interface BufferAccess extends Slot {
  readonly buffer: number;
  /** Whether it writes there. */
  readonly isStored: boolean;
}

interface Binding extends BufferAccess {
  isStored: boolean;
}

/** How many elements share a 32-bit word. */
function elementsPerWord(dtype: DType): number {
  switch (dtype) {
    case "float16":
      return 2;
    case "int8":
    case "bool":
      return 4;
    default:
      return 1;
  }
}

/** The arithmetic type of elements that are stored as `dtype`. */
export function arithmeticType(dtype: DType): DType {
  if (dtype === "float16") return "float32";
  return dtype === "int8" ? "int32" : dtype;
}

/** A compute shader while it is written. */
export class ShaderBuilder {
  /** Functions that the text calls. */
  readonly helpers: Helpers = new Helpers();
  readonly #features: ReadonlySet<string>;
  readonly #enabled = new Set<string>();
  readonly #bindings: Binding[] = [];
  readonly #scalars: number[] = [];
  readonly #declarations: string[] = [];

  /** `features` are the names of the optional features of WebGPU that the shader may use. */
  constructor(features: ReadonlySet<string>) {
    this.#features = features;
  }

  /** Lets the text use an extension of WGSL, such as `subgroups`, that the device has. */
  enable(extension: string): void {
    this.#enabled.add(extension);
  }

  /**
   * The slot of a plan buffer; the same buffer gives the same slot.
   *
   * With `width` 4 elements are loaded and stored as vectors of four neighbours, and an index counts
   * vectors; `holdsVectors` says for which types.
   */
  slot(buffer: number, dtype: DType, width: Width = 1): Slot {
    const found = this.#binding(buffer);
    if (found !== undefined) {
      if (found.width === width) return found;
      throw new XError(
        "internal",
        `webgpu: a shader must use a buffer in one width, got ${found.width} and ${width}. Please report this.`,
      );
    }
    const binding = { binding: this.#bindings.length, buffer, dtype, width, isStored: false };
    this.#bindings.push(binding);
    return binding;
  }

  /** Whether elements of this type can be loaded and stored as vectors. */
  holdsVectors(dtype: DType): boolean {
    return this.#elementsPerWord(dtype) === 1;
  }

  /** The element at `index`, an expression of type `i32`, in the arithmetic type. */
  load({ binding }: Slot, index: string): string {
    return `load${binding}(${index})`;
  }

  /** A statement that stores `value`, of the arithmetic type, at `index`. */
  store({ binding }: Slot, index: string, value: string): string {
    this.#bindings[binding]!.isStored = true;
    return `store${binding}(${index}, ${value});`;
  }

  /** The value of a runtime scalar of the plan. */
  scalar(scalar: number, dtype: DType): string {
    const word = this.#scalarWord(scalar);
    if (dtype === "bool") return `(${word} != 0u)`;
    return dtype === "uint32" ? word : `bitcast<${wgslType(dtype)}>(${word})`;
  }

  /** Adds text outside of the entry point: a constant, workgroup memory, a function. */
  declare(text: string): void {
    this.#declarations.push(text);
  }

  /** A launch of one invocation for each of `items` items; `body` sees `item: i32`. */
  perItem(name: string, items: number, body: string): Launch {
    checkElements(name, items);
    const size = 64;
    const groups = Math.ceil(items / size);
    const text = `let item = group * ${size} + lane;\nif (item >= ${items}) { return; }\n${body}`;
    const launch = this.perGroup(name, groups, size, text);
    // Names of what is declared might be those of another shader.
    const guest = this.#declarations.length === 0 ? { items, body } : null;
    return { ...launch, source: { ...launch.source!, guest } };
  }

  /**
   * A launch of `groups` workgroups of `size` invocations each; `body` sees `group: i32` and
   * `lane: i32`. All invocations of a group take part in the barriers of `body`.
   */
  perGroup(name: string, groups: number, size: number, body: string): Launch {
    const source = { shader: this, groups, size, body, guest: null };
    // A launch of no groups is valid, and does nothing.
    const across = Math.min(Math.max(groups, 1), mostWorkgroups);
    const down = Math.ceil(groups / across);
    const isExact = across * down === groups;
    // The number of the group is the same for the whole workgroup, so barriers may follow.
    const guard = isExact ? "" : `if (group >= ${groups}) { return; }\n`;
    const entry = `@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
let group = i32(workgroup.x + workgroup.y * ${across}u);
let lane = i32(index);
${guard}${body}
}`;
    return {
      name,
      shader: this.#text(entry),
      buffers: this.#bindings.map(({ buffer }) => buffer),
      scalars: this.#scalars,
      workgroups: [across, down],
      source,
    };
  }

  /** What the text reads and writes, by plan buffer. */
  get accesses(): readonly BufferAccess[] {
    return this.#bindings;
  }

  /** Binds what another shader binds; gives `text` of that one as it reads in this one. */
  adopt(other: ShaderBuilder, text: string): string {
    for (const { buffer, dtype, width, isStored } of other.#bindings) {
      this.slot(buffer, dtype, width);
      if (isStored) this.#binding(buffer)!.isStored = true;
    }
    this.helpers.useAll(other.helpers);
    for (const extension of other.#enabled) this.enable(extension);
    return text
      .replace(/\b(load|store)(\d+)\(/g, (_, kind: string, own: string) => {
        const { buffer } = other.#bindings[Number(own)]!;
        return `${kind}${this.#binding(buffer)!.binding}(`;
      })
      .replace(/\bscalars\[(\d+)\]\[(\d+)\]/g, (_, row: string, column: string) =>
        this.#scalarWord(other.#scalars[4 * Number(row) + Number(column)]!),
      );
  }

  #binding(buffer: number): Binding | undefined {
    return this.#bindings.find((binding) => binding.buffer === buffer);
  }

  #scalarWord(scalar: number): string {
    let position = this.#scalars.indexOf(scalar);
    if (position < 0) position = this.#scalars.push(scalar) - 1;
    return `scalars[${position >> 2}][${position & 3}]`;
  }

  #text(entry: string): string {
    const access = this.#bindings.map((binding) => this.#access(binding));
    const uniform =
      this.#scalars.length === 0
        ? []
        : [
            `@group(0) @binding(${this.#bindings.length}) var<uniform> scalars: array<vec4u, ${Math.ceil(this.#scalars.length / 4)}>;`,
          ];
    const extensions = [...this.#enabled].map((name) => `enable ${name};`);
    return [
      ...extensions,
      ...access,
      ...uniform,
      this.helpers.code,
      ...this.#declarations,
      entry,
    ].join("\n");
  }

  /** Declares a binding and the functions that read and write its elements. */
  #access({ binding, dtype, width, isStored }: Binding): string {
    const scalarType = wgslType(arithmeticType(dtype));
    const type = width === 1 ? scalarType : `vec4<${scalarType}>`;
    const name = `buffer${binding}`;
    const declare = (element: string): string =>
      `@group(0) @binding(${binding}) var<storage, read_write> ${name}: array<${element}>;\n`;
    const perWord = this.#elementsPerWord(dtype);
    if (perWord === 1 && dtype === "float16") {
      this.enable("f16");
      const stored = width === 1 ? "f16" : "vec4<f16>";
      return `${declare(stored)}fn load${binding}(i: i32) -> ${type} { return ${type}(${name}[i]); }
fn store${binding}(i: i32, value: ${type}) { ${name}[i] = ${stored}(value); }`;
    }
    if (perWord === 1) {
      return `${declare(type)}fn load${binding}(i: i32) -> ${type} { return ${name}[i]; }
fn store${binding}(i: i32, value: ${type}) { ${name}[i] = value; }`;
    }
    const shift = perWord === 2 ? 1 : 2;
    const bits = 32 / perWord;
    const mask = perWord === 2 ? "0xffffu" : "0xffu";
    const place = `let at = i >> ${shift}; let low = u32(i & ${perWord - 1}) * ${bits}u;`;
    const word = isStored ? `atomicLoad(&${name}[at])` : `${name}[at]`;
    const load = `${declare(isStored ? "atomic<u32>" : "u32")}fn load${binding}(i: i32) -> ${type} { ${place} let word = ${word}; return ${this.#widened(dtype, "word", "low", mask)}; }`;
    if (!isStored) return load;
    return `${load}
fn store${binding}(i: i32, value: ${type}) { ${place} let word = ${this.#narrowed(dtype)} & ${mask}; atomicAnd(&${name}[at], ~(${mask} << low)); atomicOr(&${name}[at], word << low); }`;
  }

  #elementsPerWord(dtype: DType): number {
    return dtype === "float16" && this.#features.has("shader-f16") ? 1 : elementsPerWord(dtype);
  }

  #widened(dtype: DType, word: string, low: string, mask: string): string {
    if (dtype === "bool") return `((${word} >> ${low}) & ${mask}) != 0u`;
    if (dtype === "int8") return `extractBits(bitcast<i32>(${word}), ${low}, 8u)`;
    this.helpers.use("halfToFloat");
    return `halfToFloat((${word} >> ${low}) & ${mask})`;
  }

  #narrowed(dtype: DType): string {
    if (dtype === "bool") return "select(0u, 1u, value)";
    if (dtype === "int8") return "bitcast<u32>(value)";
    this.helpers.use("floatToHalf");
    return "floatToHalf(value)";
  }
}
