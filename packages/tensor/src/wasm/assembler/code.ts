/** Bytes of WebAssembly code, before and after they are put in order. */

/** A part of a recipe: a byte, or something that knows its own bytes. */
export type CodePart = number | { readonly code: Code };

/** A recipe for stack code: operands first, then the instruction's bytes. */
export type Code = readonly CodePart[];

/** Appends the bytes of a recipe to `out`. */
export function flatten(code: Code, out: number[]): void {
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
export function signed(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asIntN(64, BigInt(value));
  for (;;) {
    const byte = Number(rest & 0x7fn);
    rest >>= 7n;
    if ((rest === 0n && byte < 0x40) || (rest === -1n && byte >= 0x40)) {
      bytes.push(byte);
      return bytes;
    }
    bytes.push(byte | 0x80);
  }
}

/** A counted sequence, the format of every list in a module. */
export function vector(items: readonly (readonly number[])[]): number[] {
  const bytes = unsigned(items.length);
  for (const item of items) for (const byte of item) bytes.push(byte);
  return bytes;
}

/** A name: counted UTF-8. */
export function name(text: string): number[] {
  const bytes = [...new TextEncoder().encode(text)];
  return [...unsigned(bytes.length), ...bytes];
}

/** The four little-endian bytes of a float32. */
export function float32Bytes(value: number): number[] {
  return [...new Uint8Array(new Float32Array([value]).buffer)];
}

/** The eight little-endian bytes of a float64. */
export function float64Bytes(value: number): number[] {
  return [...new Uint8Array(new Float64Array([value]).buffer)];
}

/** An instruction with the SIMD prefix. */
export function simd(opcode: number): number[] {
  return [0xfd, ...unsigned(opcode)];
}

/** The alignment hint (log2 of bytes) and offset of a memory access. */
export function memoryArgument(align: number, offset: number): number[] {
  return [align, ...unsigned(offset)];
}
