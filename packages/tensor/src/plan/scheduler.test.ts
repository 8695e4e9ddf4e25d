import { describe, expect, test } from "vitest";
import { collectGraph } from "../graph/graph.js";
import type { Value } from "../graph/node.js";
import { Storage } from "../graph/storage.js";
import { add, cast, exp, multiply, sigmoid } from "../ops/elementwise.js";
import { input, scalar } from "../ops/leaf.js";
import { cumulativeLinearAttention } from "../ops/linear-attention.js";
import { matmul } from "../ops/matmul.js";
import { permute, reshape, transposeLast } from "../ops/movement.js";
import { reference } from "../reference/device.js";
import { bytesPerElement, type DType } from "../tensor/dtype.js";
import type { Shape } from "../tensor/shape.js";
import { sizeOf } from "../tensor/shape.js";
import { isDense, type NativeSupport, type Schedule } from "./schedule.js";
import { schedule } from "./scheduler.js";

/** A device with a kernel for everything, which reads dense numbers only. */
const support: NativeSupport = {
  has: () => true,
  acceptsView: (_node, _input, view) => isDense(view),
  acceptsEpilogue: () => false,
};

const device = reference();

function leaf(shape: Shape, dtype: DType = "float32"): Value {
  const bytes = bytesPerElement(dtype) * sizeOf(shape);
  return input(new Storage(device, bytes, null, null), shape, dtype, device);
}

/** The schedule of `outputs`, those in `homes` being written over what they belong to. */
function scheduled(
  outputs: readonly Value[],
  homes = new Map<Value, Value>(),
  by: NativeSupport = support,
): Schedule {
  for (const [value, old] of homes) value.home = old.storage;
  return schedule(collectGraph(outputs), by);
}

const names = ({ steps }: Schedule): string[] => steps.map(({ name }) => name);

test("a result that nobody reads gets no memory", () => {
  const [q, k, v] = [leaf([1, 2, 1, 4]), leaf([1, 2, 1, 4]), leaf([1, 2, 1, 4])];
  const { output, state } = cumulativeLinearAttention(q, k, v);
  const outputs = (requested: readonly Value[]): readonly (number | null)[] => {
    const [step] = scheduled(requested).steps;
    return step!.kind === "native" ? step!.outputs : [];
  };
  expect(outputs([output])).toEqual([3, null]);
  expect(outputs([exp(output), state])).toEqual([expect.any(Number), 4]);
});

describe("a state that is read and updated", () => {
  const [q, k, v] = [leaf([1, 2, 1, 4]), leaf([1, 2, 1, 4]), leaf([1, 2, 1, 4])];

  test("is overwritten by the kernel that reads it, before its other result is used", () => {
    const old = leaf([1, 2, 4, 4]);
    const { output, state } = cumulativeLinearAttention(q, k, v, { state: old });
    const result = scheduled([exp(output), state], new Map([[state, old]]));
    expect(names(result)).toEqual([
      "cumulativeLinearAttention",
      "loop cumulativeLinearAttention+exp",
    ]);
    const [step] = result.steps;
    expect(step!.kind === "native" && step!.outputs[1]).toBe(3);
    expect(result.buffers[3]).toMatchObject({ kind: "input", input: 3 });
  });

  test("is kept for others that read it", () => {
    const old = leaf([1, 2, 4, 4]);
    const { output, state } = cumulativeLinearAttention(q, k, v, { state: old });
    const result = scheduled(
      [exp(output), multiply(old, scalar(2)), state],
      new Map([[state, old]]),
    );
    expect(names(result).at(-1)).toBe("copy");
  });

  test("is kept where the same kernel reads it in another way", () => {
    const old = leaf([1, 2, 4, 4]);
    const values = transposeLast(old);
    const { output, state } = cumulativeLinearAttention(old, old, values, { state: old });
    const result = scheduled([exp(output), state], new Map([[state, old]]));
    expect(names(result).at(-1)).toBe("copy");
  });
});

test("moving axes of size 1 moves nothing", () => {
  const [heads, weight] = [exp(leaf([2, 3, 1, 4])), leaf([12, 5])];
  const merged = reshape(permute(heads, [0, 2, 1, 3]), [2, 12]);
  expect(names(scheduled([matmul(merged, weight)]))).toEqual(["loop exp", "matmul"]);
});

describe("a value with several users", () => {
  // Sigmoid of a sum: more than is computed twice.
  const summed = (shape: Shape): Value => sigmoid(add(leaf(shape), leaf(shape)));

  test("stays in the kernel that all of them are part of", () => {
    const gate = summed([4, 6]);
    expect(names(scheduled([multiply(gate, exp(gate))]))).toHaveLength(1);
  });

  test("is written for users in several kernels", () => {
    const gate = summed([4, 6]);
    expect(names(scheduled([exp(gate), multiply(gate, 2)]))).toHaveLength(3);
  });

  test("is written for a user that repeats it", () => {
    const gate = summed([1, 6]);
    expect(names(scheduled([add(multiply(gate, leaf([4, 6])), gate)]))).toHaveLength(2);
  });

  test("is written where one kernel would grow too large", () => {
    let value = summed([4, 6]);
    for (let i = 0; i < 60; i++) value = multiply(sigmoid(value), exp(value));
    expect(names(scheduled([value])).length).toBeGreaterThan(1);
  });
});

describe("work on the result of a product", () => {
  const withEpilogues: NativeSupport = { ...support, acceptsEpilogue: () => true };

  test.each([{ batch: [] }, { batch: [1] }, { batch: [1, 1] }, { batch: [2, 1] }])(
    "is its epilogue, in a batch of $batch",
    ({ batch }) => {
      const product = matmul(leaf([...batch, 3, 4]), leaf([...batch, 4, 5]));
      const biased = add(product, leaf([5]));
      const activated = add(multiply(biased, sigmoid(biased)), leaf([...batch, 3, 5]));
      const { steps } = scheduled([activated], new Map(), withEpilogues);
      expect(steps).toHaveLength(1);
      expect(steps[0]!.kind === "native" && steps[0]!.epilogue).not.toBeNull();
    },
  );

  test("is a kernel of its own where it moves elements", () => {
    const product = matmul(leaf([3, 4]), leaf([4, 3]));
    expect(scheduled([exp(transposeLast(product))], new Map(), withEpilogues).steps).toHaveLength(
      2,
    );
  });
});

describe("a product of narrower numbers", () => {
  const weight = leaf([5, 4], "float16");
  const program = (): Value[] => [
    matmul(leaf([3, 4]), transposeLast(cast(weight, "float32"))),
    exp(cast(weight, "float32")),
  ];

  test("casts them first where the kernel does not", () => {
    expect(names(scheduled(program()))).toContain("loop cast");
  });

  test("reads them as they are where the kernel casts", () => {
    const result = scheduled(program(), new Map(), {
      ...support,
      widens: () => true,
      acceptsView: () => true,
    });
    expect(names(result)).toEqual(["matmul", "loop cast+exp"]);
    const [step] = result.steps;
    expect(step!.kind === "native" && step!.inputs[1]).toMatchObject({
      dtype: "float16",
      shape: [4, 5],
      strides: [1, 4],
    });
  });

  test("rounds first what is still to be rounded", () => {
    const rounded = cast(cast(exp(leaf([4, 5])), "float16"), "float32");
    const result = scheduled([matmul(leaf([3, 4]), rounded)], new Map(), {
      ...support,
      widens: () => true,
    });
    expect(names(result)).toEqual(["loop exp+cast", "matmul"]);
    const [, step] = result.steps;
    expect(step!.kind === "native" && step!.inputs[1]!.dtype).toBe("float16");
  });
});

test("copies for native kernels are found in few passes, however many there are", () => {
  let asked = 0;
  const counting: NativeSupport = {
    ...support,
    acceptsView: (_node, _input, view) => {
      asked++;
      return isDense(view);
    },
  };
  const depth = 30;
  let x = leaf([4, 4]);
  for (let i = 0; i < depth; i++) x = matmul(transposeLast(exp(x)), transposeLast(exp(x)));
  const { steps } = scheduled([x], new Map(), counting);
  expect(steps.filter(({ kind }) => kind === "native")).toHaveLength(depth);
  expect(asked).toBeLessThan(6 * depth);
});
