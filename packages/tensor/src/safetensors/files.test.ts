import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { XError } from "../error.js";
import { openSafetensorsFile, writeSafetensorsFile } from "./files.js";
import { writeSafetensors } from "./writer.js";
import type { LazySafetensorsTensor, SafetensorsTensor } from "./writer.js";

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "x-safetensors-"));
  path = join(directory, "model.safetensors");
});

afterEach(async () => {
  await fs.rm(directory, { recursive: true });
});

const tensors: readonly SafetensorsTensor[] = [
  { name: "w", dtype: "F32", shape: [2], bytes: Uint8Array.of(0, 0, 128, 63, 0, 0, 0, 64) },
  { name: "b", dtype: "I8", shape: [3], bytes: Uint8Array.of(1, 2, 255) },
];

async function failureOf(work: Promise<unknown>): Promise<readonly [unknown, string]> {
  try {
    await work;
  } catch (error) {
    return [XError.isInstance(error) && error.code, (error as Error).message];
  }
  return [undefined, "no error"];
}

describe("writeSafetensorsFile", () => {
  it("writes the bytes of writeSafetensors, and leaves nothing else behind", async () => {
    await writeSafetensorsFile(path, tensors, { format: "pt" });
    const written = new Uint8Array(await fs.readFile(path));
    expect(written).toEqual(writeSafetensors(tensors, { format: "pt" }));
    expect(await fs.readdir(directory)).toEqual(["model.safetensors"]);
  });

  it("takes a URL, and replaces what was there", async () => {
    await writeSafetensorsFile(path, tensors);
    await writeSafetensorsFile(pathToFileURL(path), tensors.slice(1));
    await using file = await openSafetensorsFile(pathToFileURL(path));
    expect(file.names).toEqual(["b"]);
    expect((await file.data("b")).data).toEqual(Int8Array.of(1, 2, -1));
  });

  it.skipIf(process.platform === "win32")("keeps links and permissions", async () => {
    await writeSafetensorsFile(path, tensors);
    await fs.chmod(path, 0o600);
    const link = join(directory, "latest.safetensors");
    await fs.symlink("model.safetensors", link);
    await writeSafetensorsFile(link, tensors.slice(1));
    expect((await fs.lstat(link)).isSymbolicLink()).toBe(true);
    expect((await fs.stat(path)).mode & 0o777).toBe(0o600);
    expect(new Uint8Array(await fs.readFile(path))).toEqual(writeSafetensors(tensors.slice(1)));
    expect((await fs.readdir(directory)).sort()).toEqual([
      "latest.safetensors",
      "model.safetensors",
    ]);
  });

  const failing: readonly (readonly [string, LazySafetensorsTensor["bytes"], string])[] = [
    [
      "throws",
      () => {
        throw new Error("the source went away");
      },
      "the source went away",
    ],
    ["rejects", async () => Promise.reject(new Error("device lost")), "device lost"],
    [
      "gives too few bytes",
      () => new Uint8Array(1),
      'writeSafetensorsFile: tensor "z" of shape [4] and dtype U8 takes 4 bytes, got 1. Pass bytes that fit the shape.',
    ],
  ];

  it.each(failing)("keeps the old file when a tensor %s", async (_what, bytes, message) => {
    await writeSafetensorsFile(path, tensors);
    const before = await fs.readFile(path);
    // The failing tensor comes last, when the temporary file has been written to.
    const seen: string[][] = [];
    const next: LazySafetensorsTensor[] = [
      {
        name: "first",
        dtype: "F32",
        shape: [1],
        bytes: async () => {
          seen.push(await fs.readdir(directory));
          return new Uint8Array(4);
        },
      },
      { name: "z", dtype: "U8", shape: [4], bytes },
    ];
    const [, got] = await failureOf(writeSafetensorsFile(path, next));
    expect(got).toBe(message);
    expect(seen[0]).toHaveLength(2);
    expect(await fs.readFile(path)).toEqual(before);
    expect(await fs.readdir(directory)).toEqual(["model.safetensors"]);
  });

  it("leaves no file where there was none", async () => {
    const bytes = async (): Promise<Uint8Array> => Promise.reject(new Error("no"));
    await failureOf(writeSafetensorsFile(path, [{ name: "a", dtype: "U8", shape: [1], bytes }]));
    expect(await fs.readdir(directory)).toEqual([]);
  });

  it("says why a path cannot be written", async () => {
    const missing = join(directory, "missing", "model.safetensors");
    const [code, message] = await failureOf(writeSafetensorsFile(missing, tensors));
    expect(code).toBe("checkpoint");
    expect(message).toMatch(
      /^writeSafetensorsFile: the file could not be written, got "ENOENT: .*"\. Check the path, the permissions and the space on the disk\.$/,
    );
    // A folder cannot be replaced by a file: the rename fails, and the temporary goes.
    await fs.mkdir(path);
    expect((await failureOf(writeSafetensorsFile(path, tensors)))[0]).toBe("checkpoint");
    expect(await fs.readdir(directory)).toEqual(["model.safetensors"]);
  });

  it("says when the runtime has no file system", async () => {
    vi.stubGlobal("process", {});
    const wanted = (op: string): readonly [string, string] => [
      "unsupported",
      `${op}: the runtime must have Node's file system, got none. Use openSafetensors with a Blob, or streamSafetensors.`,
    ];
    const written = await failureOf(writeSafetensorsFile(path, tensors));
    const opened = await failureOf(openSafetensorsFile(path));
    vi.unstubAllGlobals();
    expect(written).toEqual(wanted("writeSafetensorsFile"));
    expect(opened).toEqual(wanted("openSafetensorsFile"));
  });

  it("checks the tensors before it touches the disk", async () => {
    const [code] = await failureOf(writeSafetensorsFile(path, [...tensors, ...tensors]));
    expect(code).toBe("argument");
    expect(await fs.readdir(directory)).toEqual([]);
  });
});

describe("openSafetensorsFile", () => {
  it("reads tensor by tensor until it is closed", async () => {
    await writeSafetensorsFile(path, tensors, { format: "pt" });
    const file = await openSafetensorsFile(path);
    expect(file.names).toEqual(["w", "b"]);
    expect(file.metadata.get("format")).toBe("pt");
    expect(await file.data("w")).toEqual({ dtype: "float32", data: Float32Array.of(1, 2) });
    await file.close();
    await file.close();
    expect((await failureOf(file.bytes("b")))[0]).toBe("disposed");
  });

  it("keeps reading the old file while a new one is saved over it", async () => {
    await writeSafetensorsFile(path, tensors);
    await using file = await openSafetensorsFile(path);
    await writeSafetensorsFile(path, [
      { name: "w", dtype: "U8", shape: [0], bytes: new Uint8Array(0) },
    ]);
    expect((await file.data("w")).data).toEqual(Float32Array.of(1, 2));
  });

  it("can load a file and save it over itself lazily", async () => {
    await writeSafetensorsFile(path, tensors);
    const before = await fs.readFile(path);
    await using file = await openSafetensorsFile(path);
    const copies = file.names.map((name) => ({
      ...file.entry(name),
      bytes: async () => file.bytes(name),
    }));
    await writeSafetensorsFile(path, copies);
    expect(await fs.readFile(path)).toEqual(before);
  });

  it("notices a file that was cut after it was opened", async () => {
    await writeSafetensorsFile(path, tensors);
    await using file = await openSafetensorsFile(path);
    const { byteOffset } = file.entry("w");
    await fs.truncate(path, byteOffset + 3);
    expect(await failureOf(file.bytes("w"))).toEqual([
      "checkpoint",
      `SafetensorsFile: the source must give 8 bytes at offset ${byteOffset}, got 3. Read the file again; it may have changed meanwhile.`,
    ]);
  });

  it("says why a path cannot be opened", async () => {
    const [code, message] = await failureOf(openSafetensorsFile(join(directory, "none")));
    expect(code).toBe("checkpoint");
    expect(message).toMatch(
      /^openSafetensorsFile: the file could not be opened, got "ENOENT: .*"\. Check the path and the permissions\.$/,
    );
    const folder = await failureOf(openSafetensorsFile(directory));
    expect(folder[0]).toBe("checkpoint");
    await fs.writeFile(path, "not a checkpoint at all");
    expect(await failureOf(openSafetensorsFile(path))).toEqual([
      "checkpoint",
      "openSafetensorsFile: the header may have at most 100000000 bytes, got 7521891404167278446. The file is damaged or not in the safetensors format; fetch or save it again.",
    ]);
  });
});
