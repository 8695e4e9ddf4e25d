import { describe, expect, it } from "vitest";
import { XError } from "../error.js";
import { openSafetensors } from "./reader.js";

/** A file made of a header and `dataSize` bytes; the length is that of the header unless given. */
function fileOf(header: string | Uint8Array, dataSize = 0, length?: bigint): Uint8Array {
  const json = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + json.length + dataSize);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  file.set(json, 8);
  return file;
}

async function messageOf(file: Uint8Array): Promise<string> {
  try {
    await openSafetensors(file);
  } catch (error) {
    expect(XError.isInstance(error) && error.code).toBe("checkpoint");
    return (error as Error).message;
  }
  return "no error";
}

const again = "The file is damaged; fetch or save it again.";
const foreign = "The file is damaged or not in the safetensors format; fetch or save it again.";
const cut = "The file was cut short; fetch or save it again.";

/** A header with one tensor "a". */
function one(dtype: unknown, shape: unknown, offsets: unknown): string {
  return JSON.stringify({ a: { dtype, shape, data_offsets: offsets } });
}

describe("a header that is right", () => {
  it("gives entries in the order of the data, and the metadata", async () => {
    const file = fileOf(
      '{"b":{"dtype":"F16","shape":[2],"data_offsets":[4,8]},' +
        '"__metadata__":{"format":"pt","__proto__":"x"},' +
        '"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"comment":{"later":[1.5]}}}   \n',
      8,
    );
    const header = await openSafetensors(file);
    expect(header.names).toEqual(["a", "b"]);
    const dataOffset = file.length - 8;
    expect(header.entry("b")).toEqual({
      name: "b",
      dtype: "F16",
      shape: [2],
      byteOffset: dataOffset + 4,
      byteLength: 4,
    });
    expect(header.entry("a").shape).toEqual([]);
    expect([...header.metadata]).toEqual([
      ["format", "pt"],
      ["__proto__", "x"],
    ]);
  });

  it("may be empty, hold empty tensors, and use names that are keys of objects", async () => {
    expect((await openSafetensors(fileOf("{}"))).names).toEqual([]);
    const names = ["__proto__", "constructor", "toString", ""];
    const tensor =
      '{"dtype":"I64","shape":[0,9007199254740991,9007199254740991],"data_offsets":[0,0]}';
    const text = `{${names.map((name) => `"${name}":${tensor}`).join(",")}}`;
    const file = await openSafetensors(fileOf(text));
    expect(file.names).toEqual(names);
    expect(file.entry("__proto__").byteLength).toBe(0);
    expect(file.has("hasOwnProperty")).toBe(false);
  });

  it("knows the packed types and where their bytes end", async () => {
    const text =
      '{"f4":{"dtype":"F4","shape":[2,3],"data_offsets":[0,3]},' +
      '"f6":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[3,6]},' +
      '"f8":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[6,8]},' +
      '"c":{"dtype":"C64","shape":[1],"data_offsets":[8,16]}}';
    const file = await openSafetensors(fileOf(text, 16));
    expect(file.names.map((name) => file.entry(name).byteLength)).toEqual([3, 3, 2, 8]);
  });
});

describe("a header that is damaged or hostile", () => {
  const metadata = (value: string): string => `{"__metadata__":${value}}`;
  const cases: readonly (readonly [what: string, file: Uint8Array, message: string])[] = [
    [
      "an empty file",
      new Uint8Array(0),
      `a safetensors file begins with the 8-byte length of its header, got a file of 0 bytes. ${foreign}`,
    ],
    [
      "a file shorter than the length",
      new Uint8Array(7),
      `a safetensors file begins with the 8-byte length of its header, got a file of 7 bytes. ${foreign}`,
    ],
    [
      "a length beyond the file",
      fileOf("{}", 0, 3n),
      `the header must end within the file, got a header of 3 bytes in a file of 10. ${foreign}`,
    ],
    [
      "a length beyond the limit",
      fileOf("{}", 0, 100_000_001n),
      `the header may have at most 100000000 bytes, got 100000001. ${foreign}`,
    ],
    [
      "the largest length",
      fileOf("{}", 0, 2n ** 64n - 1n),
      `the header may have at most 100000000 bytes, got 18446744073709551615. ${foreign}`,
    ],
    [
      "another kind of file",
      new TextEncoder().encode("<!doctype html><title>Not found</title>"),
      `the header may have at most 100000000 bytes, got 8104636974849335612. ${foreign}`,
    ],
    ["no header", fileOf(""), `the header must begin with "{", got an empty one. ${foreign}`],
    [
      "a header that begins otherwise",
      fileOf(" {}"),
      `the header must begin with "{", got the byte 32. ${foreign}`,
    ],
    ["an array", fileOf("[]"), `the header must begin with "{", got the byte 91. ${foreign}`],
    [
      "a byte order mark",
      fileOf("\ufeff{}"),
      `the header must begin with "{", got the byte 239. ${foreign}`,
    ],
    [
      "bytes that are not UTF-8",
      fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)),
      `the header must be UTF-8, got other bytes. ${foreign}`,
    ],
    [
      "bad JSON",
      fileOf('{"a":}'),
      `the header must be valid JSON, got "}" where a value should be at character 5. ${foreign}`,
    ],
    [
      "zero bytes as padding",
      fileOf("{}\0\0"),
      `the header must be valid JSON, got "\\u0000" where the end should be at character 2. ${foreign}`,
    ],
    [
      "a name twice",
      fileOf(
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
        2,
      ),
      'a key may stand once in its object of the header, got "a" twice. The file is damaged or hostile; fetch or save it again.',
    ],
    [
      "a field twice",
      fileOf('{"a":{"dtype":"U8","shape":[1],"shape":[2],"data_offsets":[0,1]}}', 1),
      'a key may stand once in its object of the header, got "shape" twice. The file is damaged or hostile; fetch or save it again.',
    ],
    [
      "a tensor that is not an object",
      fileOf('{"a":[1,2]}'),
      `tensor "a" must be described by an object, got [1, 2]. ${again}`,
    ],
    [
      "metadata that is not an object",
      fileOf(metadata("[]")),
      `__metadata__ must be an object, got []. ${again}`,
    ],
    [
      "metadata described like a tensor",
      fileOf(metadata('{"dtype":"U8","shape":[0],"data_offsets":[0,0]}')),
      `values of __metadata__ must be strings, got [0] for "shape". ${again}`,
    ],
    [
      "metadata with a number",
      fileOf(metadata('{"step":100}')),
      `values of __metadata__ must be strings, got 100 for "step". ${again}`,
    ],
    [
      "metadata with null",
      fileOf(metadata('{"step":null}')),
      `values of __metadata__ must be strings, got null for "step". ${again}`,
    ],
    [
      "an unknown dtype",
      fileOf(one("F33", [1], [0, 4]), 4),
      'tensor "a" must have a dtype of the format, such as F32, got "F33". The file is damaged or of a newer version of the format; save it with a known dtype.',
    ],
    [
      "a dtype that objects inherit",
      fileOf(one("constructor", [1], [0, 4]), 4),
      'tensor "a" must have a dtype of the format, such as F32, got "constructor". The file is damaged or of a newer version of the format; save it with a known dtype.',
    ],
    [
      "no dtype",
      fileOf(one(undefined, [1], [0, 4]), 4),
      'tensor "a" must have a dtype of the format, such as F32, got nothing. The file is damaged or of a newer version of the format; save it with a known dtype.',
    ],
    ...(
      [
        ["no shape", "", "nothing"],
        ["a shape that is a number", '"shape":4,', "4"],
        ["a negative size", '"shape":[-1],', "[-1]"],
        ["a fractional size", '"shape":[1.5],', "[1.5]"],
        ["a size as a float", '"shape":[1.0],', "[1.0]"],
        ["a size as text", '"shape":["1"],', '["1"]'],
        ["a size of minus zero", '"shape":[-0],', "[-0]"],
        ["a size above 2^53", '"shape":[9007199254740993],', "[9007199254740993]"],
        ["a nested shape", '"shape":[[1]],', "[[1]]"],
      ] as const
    ).map(
      ([what, shape, got]) =>
        [
          what,
          fileOf(`{"a":{"dtype":"U8",${shape}"data_offsets":[0,1]}}`, 1),
          `tensor "a" must have a shape of whole numbers from 0 to 2^53 - 1, got ${got}. ${again}`,
        ] as const,
    ),
    ...(
      [
        ["no offsets", "", "nothing"],
        ["one offset", ',"data_offsets":[1]', "[1]"],
        ["three offsets", ',"data_offsets":[0,1,2]', "[0, 1, 2]"],
        ["a negative offset", ',"data_offsets":[-1,0]', "[-1, 0]"],
        ["a fractional offset", ',"data_offsets":[0,0.5]', "[0, 0.5]"],
        ["a huge offset", ',"data_offsets":[0,18446744073709551615]', "[0, 18446744073709551615]"],
        ["an exponent", ',"data_offsets":[0,1e0]', "[0, 1e0]"],
        ["offsets as an object", ',"data_offsets":{"0":0,"1":1}', "an object"],
      ] as const
    ).map(
      ([what, offsets, got]) =>
        [
          what,
          fileOf(`{"a":{"dtype":"U8","shape":[1]${offsets}}}`, 1),
          `tensor "a" must have two data_offsets, whole numbers from 0 to 2^53 - 1, got ${got}. ${again}`,
        ] as const,
    ),
    [
      "offsets in reverse",
      fileOf(one("U8", [1], [1, 0]), 1),
      `tensor "a" must end where it begins or later, got data_offsets [1, 0]. ${again}`,
    ],
    [
      "too few bytes for the shape",
      fileOf(one("F32", [2, 3], [0, 20]), 20),
      `tensor "a" of shape [2, 3] and dtype F32 takes 24 bytes, got data_offsets [0, 20], 20 bytes. ${again}`,
    ],
    [
      "bytes for an empty shape",
      fileOf(one("F32", [0], [0, 4]), 4),
      `tensor "a" of shape [0] and dtype F32 takes 0 bytes, got data_offsets [0, 4], 4 bytes. ${again}`,
    ],
    [
      "a product of sizes beyond 2^53",
      fileOf(one("U8", [2 ** 27, 2 ** 27], [0, 1]), 1),
      `tensor "a" must have fewer than 2^53 bits, got shape [134217728, 134217728] of U8. ${again}`,
    ],
    [
      "a product that wraps to a small one in 64 bits",
      fileOf(one("U8", [2 ** 32, 2 ** 32], [0, 0])),
      `tensor "a" must have fewer than 2^53 bits, got shape [4294967296, 4294967296] of U8. ${again}`,
    ],
    [
      "many axes",
      fileOf(one("U8", new Array<number>(2000).fill(2), [0, 1]), 1),
      `tensor "a" must have fewer than 2^53 bits, got shape [2, 2, 2, 2, 2, 2, 2, 2, …] of U8. ${again}`,
    ],
    [
      "half a byte",
      fileOf(one("F4", [3], [0, 1]), 1),
      `tensor "a" must fill whole bytes, got shape [3] of F4. ${again}`,
    ],
    [
      "data cut short",
      fileOf(one("F32", [2], [0, 8]), 7),
      `tensor "a" must end within the data, got its end at byte 8 of 7. ${cut}`,
    ],
    [
      "a range far beyond the file",
      fileOf(one("U8", [2 ** 40], [2 ** 52, 2 ** 52 + 2 ** 40])),
      `tensor "a" must end within the data, got its end at byte ${2 ** 52 + 2 ** 40} of 0. ${cut}`,
    ],
    [
      "an overlap",
      fileOf(
        '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}}',
        7,
      ),
      `tensors must not share bytes, got "a" and "b" overlapping at byte 3 of the data. ${again}`,
    ],
    [
      "two tensors in one place",
      fileOf(
        '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        4,
      ),
      `tensors must not share bytes, got "a" and "b" overlapping at byte 0 of the data. ${again}`,
    ],
    [
      "an empty tensor inside another",
      fileOf(
        '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}}',
        4,
      ),
      `tensors must not share bytes, got "a" and "b" overlapping at byte 2 of the data. ${again}`,
    ],
    [
      "a hole at the start",
      fileOf(one("U8", [1], [1, 2]), 2),
      `tensors must cover the data without holes, got a hole of 1 bytes before "a". ${again}`,
    ],
    [
      "a hole in the middle",
      fileOf(
        '{"b":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        5,
      ),
      `tensors must cover the data without holes, got a hole of 3 bytes before "b". ${again}`,
    ],
    [
      "bytes after the last tensor",
      fileOf(one("U8", [1], [0, 1]), 3),
      `tensors must cover the data to its end, got 2 further bytes. ${again}`,
    ],
    [
      "a name too long to show",
      fileOf(`{"${"n".repeat(10_000)}":1}`),
      `tensor "${"n".repeat(80)}…" must be described by an object, got 1. ${again}`,
    ],
  ];

  it.each(cases)("is refused: %s", async (_what, file, message) => {
    expect(await messageOf(file)).toBe(`openSafetensors: ${message}`);
  });
});
