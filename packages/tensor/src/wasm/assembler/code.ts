/** Bytes of WebAssembly code, before and after they are put in order. */

/** A part of a recipe: a byte, or something that knows its own bytes. */
export type CodePart = number | { readonly code: Code };

/** A recipe for stack code: operands first, then the instruction's bytes. */
export type Code = readonly CodePart[];

/** Bytes that grow. */
export class ByteBuffer {
  private bytes = new Uint8Array(256);
  /** The number of bytes so far. */
  length = 0;

  private reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.bytes.length, this.length + more));
    grown.set(this.bytes);
    this.bytes = grown;
  }

  /** Appends one byte. */
  push(byte: number): void {
    this.reserve(1);
    this.bytes[this.length++] = byte;
  }

  /** Appends many. */
  append(bytes: ArrayLike<number>): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** What was appended; not a copy. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

/** Appends the bytes of a recipe to `out`. */
export function flatten(code: Code, out: ByteBuffer): void {
  for (const part of code) {
    if (typeof part === "number") out.push(part);
    else flatten(part.code, out);
  }
}

/** An unsigned LEB128 number of up to 32 bits. */
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}

/** A signed LEB128 number of up to 64 bits. */
export function signed(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ;) {
    const low = rest & 0x7f;
    rest = Math.floor(rest / 0x80);
    if (rest === (low < 0x40 ? 0 : -1)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

/** A counted sequence, the format of every list in a module. */
export function vector(items: readonly ArrayLike<number>[]): Uint8Array {
  const bytes = new ByteBuffer();
  bytes.append(unsigned(items.length));
  for (const item of items) bytes.append(item);
  return bytes.view();
}

/** A name: counted UTF-8. */
export function name(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  return [...unsigned(bytes.length), ...bytes];
}

/** The bytes of numbers as memory holds them. */
export function bytesOf(numbers: ArrayBufferView): Uint8Array {
  return new Uint8Array(numbers.buffer);
}

/** An instruction with the SIMD prefix. */
export function simd(opcode: number): readonly number[] {
  return [0xfd, ...unsigned(opcode)];
}

/** The alignment hint (log2 of bytes) and offset of a memory access. */
export function memoryArgument(align: number, offset: number): number[] {
  return [align, ...unsigned(offset)];
}
