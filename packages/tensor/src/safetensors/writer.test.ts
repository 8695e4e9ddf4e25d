import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codeOf, failureOf } from "../testing/index.js";
import { byteLengthOf } from "./format.js";
import type { SafetensorsDType } from "./format.js";
import { openSafetensors } from "./reader.js";
import { streamSafetensors, writeSafetensors } from "./writer.js";
import type { SafetensorsMetadata, SafetensorsTensor } from "./writer.js";

const encoder = new TextEncoder();

function headerOf(file: Uint8Array): string {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  return new TextDecoder().decode(file.subarray(8, 8 + length));
}

/** A tensor of that many zero bytes. */
function zeros(name: string, dtype: SafetensorsDType, shape: readonly number[]): SafetensorsTensor {
  return { name, dtype, shape, bytes: new Uint8Array(byteLengthOf(dtype, shape) as number) };
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

describe("the bytes of the official library", () => {
  it("are met for a file with one tensor, with and without padding", () => {
    const bytes = new Uint8Array(Float32Array.of(0, 1, 2, 3, 4, 5).buffer);
    const exact = writeSafetensors([{ name: "attn.0", dtype: "F32", shape: [1, 2, 3], bytes }]);
    expect(exact).toEqual(
      Uint8Array.of(
        ...[64, 0, 0, 0, 0, 0, 0, 0],
        ...encoder.encode('{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}'),
        ...bytes,
      ),
    );
    const padded = writeSafetensors([{ name: "attn0", dtype: "F32", shape: [1, 1, 2, 3], bytes }]);
    expect(padded).toEqual(
      Uint8Array.of(
        ...[72, 0, 0, 0, 0, 0, 0, 0],
        ...encoder.encode('{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}'),
        ...[32, 32, 32, 32, 32, 32, 32],
        ...bytes,
      ),
    );
  });

  it("are met for a file without tensors", () => {
    expect(headerOf(writeSafetensors([]))).toBe("{}      ");
    expect(headerOf(writeSafetensors([], { framework: "pt" }))).toBe(
      '{"__metadata__":{"framework":"pt"}}     ',
    );
    expect(headerOf(writeSafetensors([], {}))).toBe('{"__metadata__":{}}     ');
  });

  it("are met for the order of types", () => {
    const types: readonly SafetensorsDType[] = [
      ...(["BOOL", "F4", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ"] as const),
      ...(["F8_E5M2FNUZ", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64"] as const),
      ...(["F64", "I64", "U64"] as const),
    ];
    const file = writeSafetensors(types.map((dtype) => zeros(`t.${dtype}`, dtype, [2])));
    const written = [...headerOf(file).matchAll(/"dtype":"(\w+)"/g)].map((match) => match[1]);
    expect(written).toEqual(types.toReversed());
  });

  it("are met for the order of names and the escapes in them", () => {
    // Recorded from version 0.8 of the library.
    const expected =
      String.raw`{"__metadata__":{"note":"é\n\u001f\b\f</"},` +
      String.raw`"wide":{"dtype":"I64","shape":[0,4],"data_offsets":[0,0]},` +
      String.raw`"":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},` +
      String.raw`"\u0001":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},` +
      String.raw`"10":{"dtype":"F32","shape":[2],"data_offsets":[16,24]},` +
      String.raw`"9":{"dtype":"F32","shape":[2],"data_offsets":[24,32]},` +
      String.raw`"__proto__":{"dtype":"F32","shape":[2],"data_offsets":[32,40]},` +
      String.raw`"a\nb":{"dtype":"F32","shape":[2],"data_offsets":[40,48]},` +
      String.raw`"a\"b":{"dtype":"F32","shape":[2],"data_offsets":[48,56]},` +
      String.raw`"a/b":{"dtype":"F32","shape":[2],"data_offsets":[56,64]},` +
      String.raw`"a\\b":{"dtype":"F32","shape":[2],"data_offsets":[64,72]},` +
      `"a\u007fb":{"dtype":"F32","shape":[2],"data_offsets":[72,80]},` +
      `"z":{"dtype":"F32","shape":[2],"data_offsets":[80,88]},` +
      `"é":{"dtype":"F32","shape":[2],"data_offsets":[88,96]},` +
      `"\u2028":{"dtype":"F32","shape":[2],"data_offsets":[96,104]},` +
      `"\uffff":{"dtype":"F32","shape":[2],"data_offsets":[104,112]},` +
      `"😀":{"dtype":"F32","shape":[2],"data_offsets":[112,120]},` +
      `"half":{"dtype":"F16","shape":[1,3],"data_offsets":[120,126]},` +
      `"flag":{"dtype":"BOOL","shape":[],"data_offsets":[126,127]}}   `;
    const names = ["é", "z", "😀", "\uffff", 'a"b', "a\\b", "a\nb", "a\u007fb", "a/b", "\u0001"];
    names.push("\u2028", "", "10", "9", "__proto__");
    const file = writeSafetensors(
      [
        ...names.map((name) => zeros(name, "F32", [2])),
        zeros("half", "F16", [1, 3]),
        zeros("flag", "BOOL", []),
        zeros("wide", "I64", [0, 4]),
      ],
      { note: "é\n\u001f\b\f</" },
    );
    expect(headerOf(file)).toBe(expected);
    expect(file).toHaveLength(1223);
  });
});

const anyName = fc
  .string({ unit: "grapheme", maxLength: 12 })
  .filter((name) => name !== "__metadata__" && !/\p{Surrogate}/u.test(name));
const anyDType = fc.constantFrom<SafetensorsDType>(
  ...(["F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8"] as const),
  ...(["U64", "U32", "U16", "U8", "BOOL", "F8_E4M3"] as const),
);
const anyTensor = fc
  .tuple(anyName, anyDType, fc.array(fc.nat(4), { maxLength: 4 }))
  .chain(([name, dtype, shape]) => {
    const length = byteLengthOf(dtype, shape) as number;
    return fc
      .uint8Array({ minLength: length, maxLength: length })
      .map((bytes): SafetensorsTensor => ({ name, dtype, shape, bytes }));
  });
const anyTensors = fc.uniqueArray(anyTensor, { selector: ({ name }) => name, maxLength: 8 });
const anyMetadata = fc
  .uniqueArray(fc.tuple(anyName, anyName), { selector: ([key]) => key, maxLength: 4 })
  .map((pairs) => new Map(pairs));

describe("writing and reading", () => {
  it("gives back every tensor and the metadata, aligned, whatever the order of writing", async () => {
    await fc.assert(
      fc.asyncProperty(
        anyTensors,
        fc.option(anyMetadata, { nil: undefined }),
        fc.boolean(),
        async (tensors, metadata, reverse) => {
          const file = writeSafetensors(tensors, metadata);
          const again = writeSafetensors(reverse ? tensors.toReversed() : tensors, metadata);
          expect(again).toEqual(file);

          const opened = await openSafetensors(file);
          expect([...opened.metadata]).toEqual([...(metadata ?? [])]);
          expect([...opened.names].sort()).toEqual(tensors.map(({ name }) => name).sort());
          for (const { name, dtype, shape, bytes } of tensors) {
            const entry = opened.entry(name);
            expect(entry).toMatchObject({ name, dtype, shape, byteLength: bytes.length });
            expect(entry.byteOffset % (byteLengthOf(dtype, []) as number)).toBe(0);
            expect(await opened.bytes(name)).toEqual(bytes);
          }

          // What was read is written back to the same bytes.
          const copies = opened.names.map(async (name) => ({
            ...opened.entry(name),
            bytes: await opened.bytes(name),
          }));
          const notes = metadata === undefined ? undefined : opened.metadata;
          expect(writeSafetensors(await Promise.all(copies), notes)).toEqual(file);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("streams the same bytes", async () => {
    await fc.assert(
      fc.asyncProperty(anyTensors, anyMetadata, async (tensors, metadata) => {
        const lazy = tensors.map(({ bytes, ...tensor }, i) => ({
          ...tensor,
          bytes: [bytes, () => bytes, async () => Promise.resolve(bytes)][i % 3]!,
        }));
        const stream = streamSafetensors(lazy, metadata);
        const file = writeSafetensors(tensors, metadata);
        expect(await collect(stream)).toEqual(file);
        expect(stream.byteLength).toBe(file.length);
      }),
      { numRuns: 100 },
    );
  });
});

describe("streamSafetensors", () => {
  it("asks for one tensor at a time, after the one before has been taken", async () => {
    const events: string[] = [];
    const tensors = ["a", "b", "c"].map((name) => ({
      name,
      dtype: "U8" as const,
      shape: [2],
      bytes: () => {
        events.push(`make ${name}`);
        return encoder.encode(name + name);
      },
    }));
    for await (const chunk of streamSafetensors(tensors)) {
      events.push(chunk.length > 2 ? "header" : `take ${new TextDecoder().decode(chunk)}`);
    }
    expect(events).toEqual([
      ...["header", "make a", "take aa", "make b", "take bb", "make c", "take cc"],
    ]);
  });

  it("refuses bad descriptions at once, and bad bytes when they come", async () => {
    expect(codeOf(() => streamSafetensors([zeros("__metadata__", "U8", [1])]))).toBe("argument");
    const stream = streamSafetensors([
      { name: "a", dtype: "F32", shape: [2], bytes: () => new Uint8Array(7) },
    ]);
    await expect(collect(stream)).rejects.toThrow(
      'streamSafetensors: tensor "a" of shape [2] and dtype F32 takes 8 bytes, got 7. Pass bytes that fit the shape.',
    );
  });
});

describe("writeSafetensors refuses", () => {
  const a = zeros("a", "U8", [1]);
  const cases: readonly (readonly [
    what: string,
    tensors: readonly SafetensorsTensor[],
    metadata: unknown,
    code: string,
    message: string,
  ])[] = [
    [
      "a name twice",
      [a, { ...a, dtype: "BOOL" }],
      undefined,
      "argument",
      'names must be unique, got "a" twice. Rename one of the tensors.',
    ],
    [
      "the name of the metadata",
      [{ ...a, name: "__metadata__" }],
      undefined,
      "argument",
      'a tensor cannot have the name of the metadata, got "__metadata__". Rename the tensor.',
    ],
    [
      "a name that is not Unicode",
      [{ ...a, name: "x\ud800" }],
      undefined,
      "argument",
      'a name must be valid Unicode, got half of a surrogate pair in "x\\ud800". Correct the text.',
    ],
    [
      "an unknown dtype",
      [{ ...a, dtype: "float32" as SafetensorsDType }],
      undefined,
      "dtype",
      'tensor "a" must have a dtype of the format, got "float32". Use F32, F16, I32, U32, I8, BOOL or another one it knows.',
    ],
    [
      "a shape of fractions",
      [{ ...a, shape: [0.5, 2] }],
      undefined,
      "shape",
      'tensor "a" must have a shape of whole numbers of at least 0, got [0.5, 2]. Correct the shape.',
    ],
    [
      "a huge shape",
      [{ ...a, shape: [2 ** 30, 2 ** 30] }],
      undefined,
      "shape",
      'tensor "a" must have a size in whole bytes below 2^50, got shape [1073741824, 1073741824] of U8. Correct the shape.',
    ],
    [
      "half a byte",
      [{ ...a, dtype: "F4", shape: [3] }],
      undefined,
      "shape",
      'tensor "a" must have a size in whole bytes below 2^50, got shape [3] of F4. Correct the shape.',
    ],
    [
      "bytes that do not fit",
      [{ ...a, bytes: new Uint8Array(2) }],
      undefined,
      "argument",
      'tensor "a" of shape [1] and dtype U8 takes 1 bytes, got 2. Pass bytes that fit the shape.',
    ],
    [
      "elements in place of bytes",
      // What the types forbid, JavaScript can still pass.
      [{ ...a, bytes: new Float32Array(1) as unknown as Uint8Array }],
      undefined,
      "argument",
      'the bytes of tensor "a" must be a Uint8Array, got [object Float32Array]. Pass new Uint8Array(data.buffer, data.byteOffset, data.byteLength).',
    ],
    [
      "a file beyond one array",
      [{ ...a, shape: [2 ** 49] }],
      undefined,
      "memory",
      `the file must fit one array, got ${2 ** 49 + 96} bytes. Use streamSafetensors or a function that writes to a file.`,
    ],
    [
      "metadata with a number",
      [a],
      { step: 1 },
      "argument",
      'metadata must map strings to strings, got a value of type number for "step". Turn it into a string.',
    ],
    [
      "metadata that is not Unicode",
      [a],
      { step: "\udc00" },
      "argument",
      'metadata must be valid Unicode, got half of a surrogate pair in "\\udc00". Correct the text.',
    ],
    [
      "a header beyond the limit",
      [],
      { note: "x".repeat(100_000_000) },
      "argument",
      "the header may have at most 100000000 bytes, got 100000032. Use fewer tensors or less metadata.",
    ],
  ];

  it.each(cases)("%s", (_what, tensors, metadata, code, message) => {
    const failure = failureOf(() => writeSafetensors(tensors, metadata as SafetensorsMetadata));
    expect(failure).toBe(`${code} | writeSafetensors: ${message}`);
  });
});
