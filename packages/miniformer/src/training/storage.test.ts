import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { XError } from "@x/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { folderStorage } from "./folder-storage.js";
import { logFile } from "./logs.js";
import { originPrivateStorage } from "./origin-private-storage.js";
import { MemoryStorage, type CheckpointStorage } from "./storage.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "x-storage-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const bytes = (...numbers: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(numbers);

describe.each<[string, () => CheckpointStorage]>([
  ["in memory", () => new MemoryStorage()],
  ["in a folder", () => folderStorage(join(folder, "new", "run"))],
])("checkpoints %s", (_, make) => {
  test("are there until they are removed", async () => {
    const storage = make();
    expect(await storage.list()).toEqual([]);
    await storage.write("step-000001", new Map([["a", bytes(1, 2)]]));
    await storage.write("step-000002", new Map([["a", bytes(3)]]));
    expect((await storage.list()).sort()).toEqual(["step-000001", "step-000002"]);
    expect([...(await storage.read("step-000001", "a"))!]).toEqual([1, 2]);
    expect(await storage.read("step-000001", "b")).toBeNull();
    expect(await storage.read("step-000003", "a")).toBeNull();
    await storage.remove("step-000001");
    await storage.remove("step-000001");
    expect(await storage.list()).toEqual(["step-000002"]);
    expect(await storage.readNote("last.json")).toBeNull();
    await storage.writeNote("last.json", bytes(1));
    await storage.writeNote("last.json", bytes(2));
    expect([...(await storage.readNote("last.json"))!]).toEqual([2]);
  });
});

describe("a folder", () => {
  test("hides what is not complete, and is cleaned of it", async () => {
    const own = join(folder, "left");
    await mkdir(join(own, "step-000007.partial"), { recursive: true });
    await mkdir(join(own, "notes"));
    await writeFile(join(own, "step-000007.partial", "run.json"), "{");
    const storage = folderStorage(own);
    expect(await storage.list()).toEqual([]);
    await storage.write("step-000008", new Map());
    expect((await readdir(own)).sort()).toEqual(["notes", "step-000008"]);
    // One that was about to be removed when the program ended.
    await mkdir(join(own, "step-000008.partial", "x"), { recursive: true });
    await storage.remove("step-000008");
    expect(await readdir(own)).toEqual(["notes"]);
  });

  test("that cannot be used is an error", async () => {
    const file = join(folder, "file");
    await writeFile(file, "");
    const storage = folderStorage(file);
    for (const work of [
      () => storage.list(),
      () => storage.write("step-000001", new Map()),
      () => storage.writeNote("last.json", bytes(1)),
      () => logFile(join(file, "log.csv")).replace(""),
    ]) {
      const error: unknown = await work().catch((thrown: unknown) => thrown);
      expect(XError.isInstance(error) && error.code).toBe("checkpoint");
      expect(String(error)).toMatch(/: the files must be readable and writable, got ".*file.*" \(/);
    }
  });
});

test("without an origin-private file system there is a sentence that says so", async () => {
  await expect(originPrivateStorage()).rejects.toThrow(
    "originPrivateStorage: the runtime must have an origin-private file system, got none.",
  );
});
