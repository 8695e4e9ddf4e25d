import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { XError } from "../error.js";
import { openSafetensors } from "./reader.js";
import type { RandomAccessSource, SafetensorsSource } from "./source.js";
import { writeSafetensors } from "./writer.js";

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

const example = writeSafetensors(
  [
    { name: "small", dtype: "F32", shape: [2], bytes: bytesOf(Float32Array.of(1, 2)) },
    { name: "large", dtype: "U8", shape: [1000, 1000], bytes: new Uint8Array(1_000_000).fill(7) },
    { name: "empty", dtype: "I8", shape: [0, 5], bytes: new Uint8Array(0) },
  ],
  { format: "pt" },
);

/** A source that keeps a record of what is asked of it. */
function recorded(
  file: Uint8Array,
): RandomAccessSource & { reads: (readonly [number, number])[]; closed: number } {
  return {
    size: file.length,
    reads: [],
    closed: 0,
    async read(offset, length) {
      this.reads.push([offset, length]);
      return file.slice(offset, offset + length);
    },
    async close() {
      this.closed++;
    },
  };
}

async function failureOf(work: Promise<unknown>): Promise<readonly [unknown, string]> {
  try {
    await work;
  } catch (error) {
    return [XError.isInstance(error) && error.code, (error as Error).message];
  }
  return [undefined, "no error"];
}

describe("openSafetensors", () => {
  const offset = new Uint8Array(example.length + 3);
  offset.set(example, 3);
  const shared = new Uint8Array(new SharedArrayBuffer(example.length));
  shared.set(example);
  const sources: readonly (readonly [string, SafetensorsSource])[] = [
    ["a Uint8Array", example],
    ["a Uint8Array inside a larger buffer", offset.subarray(3)],
    ["a Uint8Array of shared memory", shared],
    ["an ArrayBuffer", example.buffer],
    ["a Blob", new Blob([example])],
    ["a custom source", recorded(example)],
  ];

  it.each(sources)("reads from %s", async (_what, source) => {
    const file = await openSafetensors(source);
    expect(file.names).toEqual(["small", "empty", "large"]);
    expect(file.metadata.get("format")).toBe("pt");
    expect(file.entry("large").shape).toEqual([1000, 1000]);
    expect(await file.bytes("small")).toEqual(bytesOf(Float32Array.of(1, 2)));
    expect(await file.data("small")).toEqual({ dtype: "float32", data: Float32Array.of(1, 2) });
    expect((await file.data("large")).data[999_999]).toBe(7);
    expect((await file.data("empty")).data).toEqual(new Int8Array(0));
  });

  it("reads the header, and of the data only what is asked for", async () => {
    const source = recorded(example);
    const file = await openSafetensors(source);
    const headerLength = file.entry("small").byteOffset - 8;
    expect(source.reads).toEqual([
      [0, 8],
      [8, headerLength],
    ]);
    await file.bytes("small");
    await file.bytes("empty");
    expect(source.reads.slice(2)).toEqual([[8 + headerLength, 8]]);
    const total = source.reads.reduce((sum, [, length]) => sum + length, 0);
    expect(total).toBe(16 + headerLength);
  });

  it("does not copy what is in memory already", async () => {
    const file = await openSafetensors(example);
    const bytes = await file.bytes("large");
    expect(bytes.buffer).toBe(example.buffer);
  });

  it("says which names there are when one is missing", async () => {
    const file = await openSafetensors(example);
    const message =
      'SafetensorsFile: the file must hold the tensor that is asked for, got the name "toString", which it lacks. Choose one of file.names.';
    expect(() => file.entry("toString")).toThrow(message);
    expect(await failureOf(file.bytes("toString"))).toEqual(["checkpoint", message]);
  });

  it("closes its source once, and refuses to read afterwards", async () => {
    const source = recorded(example);
    {
      await using file = await openSafetensors(source);
      await file.close();
      expect(await failureOf(file.bytes("small"))).toEqual([
        "disposed",
        'SafetensorsFile: the file must be open to be read, got a closed one for "small". Read before closing it.',
      ]);
    }
    expect(source.closed).toBe(1);
    {
      using file = await openSafetensors(source);
      expect(file.names).toHaveLength(3);
    }
    expect(source.closed).toBe(2);
  });

  it("refuses other kinds of source", async () => {
    const message = (got: string): string =>
      `openSafetensors: the source must be a Uint8Array, an ArrayBuffer, a Blob or { size, read }, got ${got}. Pass the bytes of the file; for a path use openSafetensorsFile.`;
    const open = async (source: unknown): Promise<readonly [unknown, string]> =>
      failureOf(openSafetensors(source as SafetensorsSource));
    expect(await open("model.safetensors")).toEqual(["argument", message("string")]);
    expect(await open(undefined)).toEqual(["argument", message("undefined")]);
    expect(await open(null)).toEqual(["argument", message("object")]);
    expect(await open({ size: -0.5, read: () => 1 })).toEqual([
      "argument",
      message("another object"),
    ]);
  });

  it("refuses a source that gives too little or fails", async () => {
    const short: RandomAccessSource = { size: 100, read: async () => new Uint8Array(4) };
    expect(await failureOf(openSafetensors(short))).toEqual([
      "checkpoint",
      "openSafetensors: the source must give 8 bytes at offset 0, got 4. Read the file again; it may have changed meanwhile.",
    ]);
    const broken: RandomAccessSource = {
      size: 100,
      read: vi.fn().mockRejectedValue(new Error("connection lost")),
    };
    expect(await failureOf(openSafetensors(broken))).toEqual([
      "checkpoint",
      'openSafetensors: bytes 0 to 8 could not be read, got "connection lost". Check that the file is still there.',
    ]);
  });

  it("answers any damage with a tensor or a checkpoint error, and stays within the file", async () => {
    const base = writeSafetensors(
      [
        { name: "a", dtype: "F32", shape: [2, 2], bytes: new Uint8Array(16) },
        { name: "b", dtype: "I64", shape: [1], bytes: new Uint8Array(8) },
        { name: "c", dtype: "BOOL", shape: [3], bytes: new Uint8Array(3) },
      ],
      { k: "v" },
    );
    const change = fc.tuple(
      fc.nat(base.length - 1),
      fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('0123456789,[]{}":-eFIU '))),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 0, max: base.length + 4 }),
        fc.boolean(),
        async (changes, size, cut) => {
          const file = new Uint8Array(cut ? size : base.length);
          file.set(base.subarray(0, file.length));
          for (const [at, value] of changes) if (at < file.length) file[at] = value;
          const source = recorded(file);
          try {
            const opened = await openSafetensors(source);
            for (const name of opened.names) await opened.data(name);
          } catch (error) {
            expect(XError.isInstance(error)).toBe(true);
            expect((error as Error).message).toMatch(/^\w+: .+, got .+\. .+\.$/su);
          }
          for (const [offset, length] of source.reads) {
            expect(offset).toBeGreaterThanOrEqual(0);
            expect(length).toBeGreaterThanOrEqual(0);
            expect(offset + length).toBeLessThanOrEqual(file.length);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});
