import { beforeAll, describe, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { profile } from "../plan/profile.js";
import { manualSeed } from "../random/generator.js";
import { reference } from "../reference/device.js";
import { codeOf } from "../testing/index.js";
import { checkpoint } from "./checkpoint.js";
import { ones, tensor } from "./creation.js";
import { customGradient } from "./custom-gradient.js";
import { defineOp } from "./define-op.js";
import { dropout } from "./dropout.js";
import { enableGrad, grad, noGrad, valueAndGrad } from "./grad.js";
import type { Tensor } from "./tensor.js";

beforeAll(() => {
  setDevice(reference());
});

describe("grad", () => {
  test("of one and of several arguments", async () => {
    const f = (a: Tensor, b: Tensor): Tensor => a.mul(b).mul(b).sum();
    const [a, b] = [tensor([1, 2]), tensor([3, 4])];
    expect(await grad(f)(a, b).toArray()).toEqual([9, 16]);
    expect(await grad(f, 1)(a, b).toArray()).toEqual([6, 16]);
    const [da, db] = grad(f, [0, 1])(a, b);
    expect(await da!.toArray()).toEqual([9, 16]);
    expect(await db!.toArray()).toEqual([6, 16]);
  });

  test("of a function that ignores its argument is 0", async () => {
    expect(await grad((_: Tensor) => tensor(3).mul(2))(ones([2])).toArray()).toEqual([0, 0]);
    expect(await grad((x: Tensor) => x.sign().sum())(ones([2])).toArray()).toEqual([0, 0]);
  });

  test("takes further arguments of any kind", async () => {
    const f = (x: Tensor, options: { power: number }): Tensor => x.pow(options.power).sum();
    expect(await grad(f)(tensor([3]), { power: 2 }).toArray()).toEqual([6]);
  });

  test("can be repeated", async () => {
    const f = (x: Tensor): Tensor => x.sin();
    let nth = f;
    const results: number[] = [];
    for (let i = 0; i < 4; i++) {
      nth = grad(nth);
      results.push(await nth(tensor(0.5)).item());
    }
    const [sine, cosine] = [Math.sin(0.5), Math.cos(0.5)];
    [cosine, -sine, -cosine, sine].forEach((expected, i) => {
      expect(results[i]).toBeCloseTo(expected, 6);
    });
  });

  test("leaves no history where nobody needs it", () => {
    expect(grad((x: Tensor) => x.square())(tensor(2)).requiresGrad).toBe(false);
    const { value } = valueAndGrad((x: Tensor) => x.square())(tensor(2));
    expect(value.requiresGrad).toBe(false);
  });

  test("flows on to tensors the function closes over", async () => {
    const weight = tensor(3, { requiresGrad: true });
    const slope = grad((x: Tensor) => x.square().mul(weight))(tensor(5));
    slope.backward();
    expect(await weight.grad!.item()).toBe(10);
  });

  test("computes value and gradient in one plan", async () => {
    const x = tensor([1, 2]);
    const { value, grad: slope } = valueAndGrad((y: Tensor) => y.exp().sum())(x);
    await value.item();
    const { kernels } = await profile(() => slope.data());
    expect(kernels).toHaveLength(0);
  });

  test("refuses what has no gradient", () => {
    const square = (x: Tensor): Tensor => x.square();
    expect(() => grad(square)(ones([2]))).toThrow(
      "grad: the function must return one number, got shape [2]. Reduce it, e.g. with sum().",
    );
    expect(codeOf(() => grad(square)(tensor(1, { dtype: "int32" })))).toBe("gradient");
    expect(codeOf(() => grad(square, 1)(tensor(1)))).toBe("gradient");
    // @ts-expect-error the function must return a tensor
    expect(codeOf(() => grad(async (x: Tensor) => x)(tensor(1)))).toBe("gradient");
  });
});

test("noGrad switches history off, enableGrad on again", () => {
  const x = tensor([1], { requiresGrad: true });
  expect(noGrad(() => x.mul(2).requiresGrad)).toBe(false);
  expect(noGrad(() => enableGrad(() => x.mul(2).requiresGrad))).toBe(true);
  expect(x.mul(2).requiresGrad).toBe(true);
  expect(codeOf(() => noGrad(async () => x.mul(2)))).toBe("argument");
});

describe("checkpoint", () => {
  const x = (): Tensor => tensor([0.5, -1], { requiresGrad: true });

  test("gives the gradients of its inputs and of what it closes over", async () => {
    const run = async (
      call: (f: (x: Tensor) => Tensor, x: Tensor) => Tensor,
    ): Promise<unknown[]> => {
      const input = x();
      const weight = tensor([2, 3], { requiresGrad: true });
      const inner = weight.mul(2);
      call((y) => y.mul(inner).sin().mul(weight).exp(), input.mul(3))
        .sum()
        .backward();
      return [await input.grad!.toArray(), await weight.grad!.toArray()];
    };
    expect(await run(checkpoint)).toEqual(await run((f, input) => f(input)));
  });

  test("draws the same random numbers again, nested too", async () => {
    const f = (y: Tensor): Tensor =>
      dropout(checkpoint((z) => dropout(z.exp(), { p: 0.5 }), y).mul(2), { p: 0.5 });
    const run = async (call: (f: (x: Tensor) => Tensor, x: Tensor) => Tensor): Promise<unknown> => {
      manualSeed(3);
      const input = tensor(
        Array.from({ length: 32 }, (_, i) => i / 32),
        { requiresGrad: true },
      );
      call(f, input).sum().backward();
      return input.grad!.toArray();
    };
    expect(await run(checkpoint)).toEqual(await run((g, input) => g(input)));
  });

  test("takes and gives several tensors, also ones without gradient", async () => {
    const input = x();
    const index = tensor([1, 0], { dtype: "int32" });
    const [a, b] = checkpoint((y, i) => [y.take(i, 0).square(), i.add(1)], input, index);
    expect(await b.toArray()).toEqual([2, 1]);
    a.mul(tensor([1, 10]))
      .sum()
      .backward();
    expect(await input.grad!.toArray()).toEqual([10, -2]);
  });

  test("computes twice", async () => {
    const input = x();
    const { kernels } = await profile(async () => {
      checkpoint((y) => y.sort().values.exp(), input)
        .sum()
        .backward();
      await input.grad!.data();
    });
    expect(kernels.find(({ name }) => name === "sort")!.calls).toBe(2);
  });

  test("has second derivatives", async () => {
    const f = (y: Tensor): Tensor => checkpoint((z) => z.pow(3), y);
    expect(await grad(grad(f))(tensor(2)).item()).toBeCloseTo(12, 5);
  });

  test("without gradients is a plain call", () => {
    const input = x();
    expect(noGrad(() => checkpoint((y) => y.exp(), input)).requiresGrad).toBe(false);
    expect(checkpoint((y) => y.exp(), tensor([1])).requiresGrad).toBe(false);
  });
});

describe("customGradient", () => {
  const scaled = customGradient((a: Tensor, b: Tensor) => ({
    value: a.add(b),
    gradient: (g) => [g.mul(2), g.mul(a)],
  }));

  test("replaces the derived one", async () => {
    const [a, b] = [tensor([1, 2], { requiresGrad: true }), tensor([3, 4], { requiresGrad: true })];
    const y = scaled(a, b);
    y.sum().backward();
    expect(await a.grad!.toArray()).toEqual([2, 2]);
    expect(await b.grad!.toArray()).toEqual([1, 2]);
  });

  test("is differentiated again", async () => {
    const f = (a: Tensor): Tensor => scaled(tensor(5), a).square();
    // f' = 2 (5 + a) · 5 by the rule; f'' = 10 · 5.
    expect(await grad(f)(tensor(1)).item()).toBe(60);
    expect(await grad(grad(f))(tensor(1)).item()).toBe(50);
  });

  test("several results get zeros where nothing depends on one", async () => {
    const split = customGradient((a: Tensor) => ({
      value: [a.mul(1), a.mul(2)],
      gradient: (g, h) => g.add(h.mul(10)),
    }));
    const a = tensor([1], { requiresGrad: true });
    split(a)[1]!.sum().backward();
    expect(await a.grad!.toArray()).toEqual([10]);
  });

  test("must return gradients of the inputs' shapes", () => {
    const wrong = customGradient((a: Tensor) => ({ value: a.mul(1), gradient: (g) => g.sum() }));
    const a = ones([2], { requiresGrad: true });
    expect(codeOf(() => wrong(a).sum().backward())).toBe("gradient");
  });
});

describe("defineOp", () => {
  const affine = defineOp({
    name: "test.affine",
    infer: ([x]) => [x!],
    compose: ([x], { slope }) => x!.mul(slope as number).add(1),
  });

  test("computes its definition and derives its gradient", async () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const [y] = affine([x], { slope: 3 });
    y!.sum().backward();
    expect(await x.grad!.toArray()).toEqual([3, 3]);
    expect(await y!.toArray()).toEqual([4, 7]);
  });

  test("a given gradient is used", async () => {
    const odd = defineOp({
      name: "test.odd",
      infer: ([x]) => [x!, x!],
      compose: ([x]) => [x!, x!.mul(2)],
      gradient: ({ inputs, outputs, attributes }, [g, h]) => {
        expect([inputs.length, outputs.length, attributes.note]).toEqual([1, 2, "kept"]);
        return [g ?? h!.mul(100)];
      },
    });
    const x = tensor([1], { requiresGrad: true });
    odd([x], { note: "kept" })[1]!.sum().backward();
    expect(await x.grad!.toArray()).toEqual([100]);
  });

  test("one value as several inputs counts for each", async () => {
    const product = defineOp({
      name: "test.product",
      infer: ([a]) => [a!],
      compose: ([a, b, c]) => a!.mul(b!).mul(c!),
    });
    const x = tensor([2], { requiresGrad: true });
    product([x, x, x])[0]!.sum().backward();
    expect(await x.grad!.toArray()).toEqual([12]);
  });

  test("refuses names without a library and definitions that break their promise", async () => {
    const { infer, compose } = {
      infer: () => [{ shape: [2], dtype: "float32" as const }],
      compose: ([x]: readonly Tensor[]) => x!,
    };
    expect(codeOf(() => defineOp({ name: "softmax", infer, compose }))).toBe("argument");
    const liar = defineOp({ name: "test.liar", infer, compose });
    await expect(liar([ones([3])])[0]!.data()).rejects.toThrow(
      "test.liar: compose must return what infer promised (float32 [2]), got float32 [3].",
    );
  });
});

test("gradients pass through storage as float16", async () => {
  const x = tensor([1.0001, -2, 70000], { requiresGrad: true });
  const half = x.half();
  expect([half.dtype, half.requiresGrad]).toEqual(["float16", true]);
  half.reshape([3, 1]).float().square().sum().backward();
  // Rounding counts as the identity: 2 · round(x), in float32 although the values are float16.
  expect(await x.grad!.toArray()).toEqual([2, -4, Infinity]);
  expect(x.grad!.dtype).toBe("float32");
  expect(x.int().requiresGrad).toBe(false);
});

test("tensors that name no device, but lie on one, get gradients", async () => {
  const x = (await ones([3]).realize()).setRequiresGrad();
  x.square().sum().backward();
  expect(await x.grad!.toArray()).toEqual([2, 2, 2]);
});
