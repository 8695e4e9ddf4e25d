import { expect, test, vi } from "vitest";
import { collectGraph } from "../graph/graph.js";
import { applyOne, makeOp, type Op, type Value } from "../graph/node.js";
import { Storage } from "../graph/storage.js";
import { add } from "../ops/elementwise.js";
import { input } from "../ops/leaf.js";
import { reference } from "../reference/device.js";
import { KernelTable } from "./kernel-table.js";

function leaf(): Value {
  const device = reference();
  const data = Float32Array.of(1, 2);
  return input(new Storage(device, data.byteLength, data, null), [2], "float32", device);
}

const primitive = (name: string, compose: (x: Value) => Value): Op =>
  makeOp({
    name,
    kind: "primitive",
    infer: ([x]) => [x!],
    compose: ([x]) => [compose(x!)],
  });

const inner = primitive("inner", (x) => add(x, x));
const outer = primitive("outer", (x) => applyOne(inner, [x]));

const names = async (table: KernelTable<{ op: string }>, op: Op): Promise<string[]> => {
  const graph = await table.expand(collectGraph([applyOne(op, [leaf()])]));
  return graph.nodes.map((node) => node.op.name);
};

test("loads a family when a graph first holds one of its operations", async () => {
  const load = vi.fn(async () => [{ op: "inner" }]);
  const other = vi.fn(async () => [{ op: "other" }]);
  const table = new KernelTable<{ op: string }>(
    [{ op: "add" }],
    [
      { ops: ["inner"], load },
      { ops: ["other"], load: other },
    ],
  );
  expect(
    await names(
      table,
      primitive("sum", (x) => add(x, x)),
    ),
  ).toEqual(["input", "add"]);
  expect(load).not.toHaveBeenCalled();
  // Inside a definition too.
  expect(await names(table, outer)).toEqual(["input", "inner"]);
  expect(await names(table, inner)).toEqual(["input", "inner"]);
  expect(load).toHaveBeenCalledTimes(1);
  expect(other).not.toHaveBeenCalled();
  expect([...(await table.all()).keys()].sort()).toEqual(["add", "inner", "other"]);
});

test("expands what a loaded kernel does not support", async () => {
  const table = new KernelTable<{ op: string; supports?: () => boolean }>(
    [],
    [{ ops: ["inner"], load: async () => [{ op: "inner", supports: () => false }] }],
  );
  expect(await names(table, outer)).toEqual(["input", "add"]);
});

test("says what could not be loaded, and tries again", async () => {
  const load = vi
    .fn<() => Promise<{ op: string }[]>>()
    .mockRejectedValueOnce(new TypeError("Failed to fetch"))
    .mockResolvedValue([{ op: "inner" }]);
  const table = new KernelTable<{ op: string }>([], [{ ops: ["inner"], load }]);
  await expect(names(table, inner)).rejects.toMatchObject({
    code: "unsupported",
    message:
      "plan: the code of inner must load, got: Failed to fetch. Serve all files that the bundler made, and try again.",
  });
  expect(await names(table, inner)).toEqual(["input", "inner"]);
});
