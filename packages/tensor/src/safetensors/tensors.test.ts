import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { setDevice } from "../device/current.js";
import { reference } from "../reference/device.js";
import { full, tensor } from "../tensor/creation.js";
import type { Tensor } from "../tensor/tensor.js";
import { openSafetensors } from "./reader.js";
import {
  loadSafetensors,
  loadSafetensorsFile,
  saveSafetensors,
  saveSafetensorsFile,
} from "./tensors.js";
import { writeSafetensors } from "./writer.js";

setDevice(reference());

function examples(): Record<string, Tensor> {
  return {
    "self_attn.in_proj_weight": tensor([
      [1.5, -2],
      [0.1, 3e38],
    ]),
    half: tensor([1, -0.5, 65504, 2 ** -24], { dtype: "float16" }),
    ids: tensor([-1, 2 ** 31 - 1], { dtype: "int32" }),
    counts: tensor([0, 2 ** 32 - 1], { dtype: "uint32" }),
    codes: tensor([-128, 127, 1], { dtype: "int8" }),
    mask: tensor([true, false, true]),
    scalar: tensor(7),
    empty: tensor([], { dtype: "int32" }),
  };
}

async function contentOf(tensors: Iterable<readonly [string, Tensor]>): Promise<unknown> {
  const result: unknown[] = [];
  for (const [name, value] of tensors) {
    result.push([name, value.dtype, value.shape, await value.toArray()]);
  }
  return result;
}

describe("saveSafetensors and loadSafetensors", () => {
  it("give back every type, shape and number", async () => {
    const bytes = await saveSafetensors(examples(), { format: "pt" });
    const loaded = await loadSafetensors(bytes);
    const sorted = [...loaded].sort(([a], [b]) => (a < b ? -1 : 1));
    const expected = Object.entries(examples()).sort(([a], [b]) => (a < b ? -1 : 1));
    expect(await contentOf(sorted)).toEqual(await contentOf(expected));
    expect(await saveSafetensors(loaded, { format: "pt" })).toEqual(bytes);
  });

  it("take a Map, and tensors that are not computed yet", async () => {
    const x = tensor([1, 2, 3]);
    const bytes = await saveSafetensors(
      new Map([
        ["sum", x.add(1)],
        ["constant", full([2], 5)],
      ]),
    );
    const loaded = await loadSafetensors(new Blob([bytes]));
    expect(await loaded.get("sum")?.toArray()).toEqual([2, 3, 4]);
    expect(await loaded.get("constant")?.toArray()).toEqual([5, 5]);
  });

  it("load only the names asked for, on the device asked for", async () => {
    const device = reference();
    const bytes = await saveSafetensors(examples());
    const loaded = await loadSafetensors(bytes, { names: ["ids", "half"], device });
    expect([...loaded.keys()]).toEqual(["ids", "half"]);
    expect(loaded.get("ids")?.device).toBe(device);
    await expect(loadSafetensors(bytes, { names: ["ids", "missing"] })).rejects.toThrow(
      'SafetensorsFile: the file must hold the tensor that is asked for, got the name "missing", which it lacks. Choose one of file.names.',
    );
  });

  it("own the numbers they loaded", async () => {
    const bytes = await saveSafetensors({ x: tensor([1, 2]) });
    const loaded = await loadSafetensors(bytes);
    bytes.fill(0);
    expect(await loaded.get("x")?.toArray()).toEqual([1, 2]);
  });

  it("convert types that the engine lacks", async () => {
    const bytes = writeSafetensors([
      { name: "step", dtype: "I64", shape: [], bytes: Uint8Array.of(5, 1, 0, 0, 0, 0, 0, 0) },
      { name: "weight", dtype: "BF16", shape: [1, 2], bytes: Uint8Array.of(0x80, 0x3f, 0, 0xc0) },
    ]);
    expect(await contentOf(await loadSafetensors(bytes))).toEqual([
      ["step", "int32", [], 261],
      ["weight", "float32", [1, 2], [[1, -2]]],
    ]);
  });

  it("keep the bits of float16, NaN payloads included", async () => {
    const bits = Uint8Array.of(0x01, 0x7c, 0xff, 0xff, 0x00, 0x80);
    const bytes = writeSafetensors([{ name: "h", dtype: "F16", shape: [3], bytes: bits }]);
    expect(await saveSafetensors(await loadSafetensors(bytes))).toEqual(bytes);
  });
});

describe("saveSafetensorsFile and loadSafetensorsFile", () => {
  let directory: string;
  let path: string;

  beforeEach(async () => {
    directory = await fs.mkdtemp(join(tmpdir(), "x-safetensors-"));
    path = join(directory, "model.safetensors");
  });

  afterEach(async () => {
    await fs.rm(directory, { recursive: true });
  });

  it("write the bytes of saveSafetensors, and read them", async () => {
    await saveSafetensorsFile(path, examples(), { step: "3" });
    const bytes = await saveSafetensors(examples(), { step: "3" });
    expect(new Uint8Array(await fs.readFile(path))).toEqual(bytes);
    const loaded = await loadSafetensorsFile(path);
    expect(await contentOf(loaded)).toEqual(await contentOf(await loadSafetensors(bytes)));
    expect((await openSafetensors(bytes)).metadata.get("step")).toBe("3");
  });

  it("keep the old file when a tensor was disposed", async () => {
    await saveSafetensorsFile(path, { x: tensor([1]) });
    const gone = tensor([1, 2]);
    gone.dispose();
    await expect(saveSafetensorsFile(path, { gone })).rejects.toMatchObject({ code: "disposed" });
    expect([...(await loadSafetensorsFile(path)).keys()]).toEqual(["x"]);
    expect(await fs.readdir(directory)).toEqual(["model.safetensors"]);
  });

  it("name themselves in messages", async () => {
    const tensors = { __metadata__: tensor([1]) };
    await expect(saveSafetensorsFile(path, tensors)).rejects.toThrow(/^saveSafetensorsFile: /);
  });
});
