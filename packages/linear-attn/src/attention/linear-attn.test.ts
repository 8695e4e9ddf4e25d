import { randn, tensor, zeros, type Tensor } from "@x/tensor";
import { checkGradients, expectClose } from "@x/tensor/testing";
import { describe, expect, it } from "vitest";
import { causalLinearAttn } from "./causal-linear-attn.js";
import { linearAttn } from "./linear-attn.js";

const close = { relative: 1e-5, relativeTo: "largest" } as const;

/** `y_i` as the formula says it, with all weights at once; `last[i]` is the last key that i sees. */
function plain(q: Tensor, k: Tensor, v: Tensor, last: number[], hidden: number[] = []): Tensor {
  const visible = last.map((m) =>
    Array.from({ length: k.shape[2]! }, (_, j) => j <= m && !hidden.includes(j)),
  );
  const weights = q.softmax(-1).matmul(k.exp().transpose(-1, -2)).where(tensor(visible), 0);
  return weights.matmul(v).div(weights.sum(-1, { keepdim: true }).clamp(1e-9));
}

const sequence = Array.from({ length: 7 }, (_, i) => i);
const inputs = (): [Tensor, Tensor, Tensor] => [
  randn([1, 4, 7, 3]),
  randn([1, 4, 7, 3]),
  randn([1, 4, 7, 5]),
];
const allBut = (length: number, hidden: readonly number[]): Tensor =>
  tensor([Array.from({ length }, (_, j) => !hidden.includes(j))]);

describe("causalLinearAttn", () => {
  it.each([1, 3])("is the weighted mean of what a bucket size of %i lets it see", async (size) => {
    const [q, k, v] = inputs();
    const last = sequence.map((i) => (size === 1 ? i : Math.floor(i / size) * size - 1));
    const kvMask = allBut(7, [0, 4]);
    for (const compat of [null, "reference"] as const) {
      const y = causalLinearAttn(q, k, v, { bucketSize: size, kvMask, compat });
      await expectClose(y, plain(q, k, v, last, [0, 4]), close);
    }
  });

  it("places fewer queries at the last keys, and shares key heads", async () => {
    const [q, k, v] = inputs();
    const some = q.narrow(2, 4, 3);
    const [key, value] = [k.narrow(1, 0, 2), v.narrow(1, 0, 2)];
    const [keys, values] = [key.repeatInterleave(2, 1), value.repeatInterleave(2, 1)];
    await expectClose(
      causalLinearAttn(some, key, value),
      plain(some, keys, values, [4, 5, 6]),
      close,
    );
    const bucketed = causalLinearAttn(some, key, value, { bucketSize: 3 });
    await expectClose(bucketed, plain(some, keys, values, [2, 2, 5]), close);
  });

  it("takes keys of any size, where plain exponentials overflow", async () => {
    const [q, k, v] = inputs();
    const large = k.add(200);
    await expectClose(causalLinearAttn(q, large, v), causalLinearAttn(q, k, v), {
      relative: 1e-4,
      relativeTo: "largest",
    });
    const original = causalLinearAttn(q, large, v, { compat: "reference" });
    expect(await original.isfinite().all().item()).toBe(0);
  });

  it("sees nothing of what comes later or is masked, to the last bit", async () => {
    const [q, k, v] = inputs();
    const kvMask = allBut(7, [1]);
    const other = tensor(sequence.map((j) => j === 1 || j >= 5)).unsqueeze(-1);
    for (const bucketSize of [1, 2]) {
      const options = { kvMask, bucketSize };
      const y = causalLinearAttn(q, k, v, options);
      const changed = causalLinearAttn(
        q,
        k.where(other.logicalNot(), 30),
        v.where(other.logicalNot(), -7),
        options,
      );
      const before = (x: Tensor): Promise<unknown> => x.narrow(2, 0, 5).toArray();
      expect(await before(changed)).toEqual(await before(y));
    }
  });

  it("has the gradients of its formula", async () => {
    const kvMask = allBut(7, [2]);
    for (const bucketSize of [1, 2]) {
      await checkGradients(
        (q, k, v, mask) => causalLinearAttn(q, k, v, { bucketSize, kvMask: mask }),
        [...inputs(), kvMask],
      );
    }
  });

  it("refuses what does not fit", () => {
    const [q, k, v] = inputs();
    expect(() => causalLinearAttn(q, k, v, { bucketSize: 0 })).toThrow(
      "causalLinearAttn: bucketSize must be a whole number of at least 1, got 0. Correct it.",
    );
    expect(() => causalLinearAttn(q, k, v, { compat: "other" as "reference" })).toThrow(
      'causalLinearAttn: compat must be one of "reference", got "other". Choose one of them.',
    );
    expect(() => causalLinearAttn(q, k, v.narrow(2, 0, 6))).toThrow("must have the axes");
    expect(() => linearAttn(q, k, v, { kvMask: zeros([1, 7]) })).toThrow("must be bool [1, 7]");
  });
});

describe("linearAttn", () => {
  it("joins keys and values first, without the masked ones, which stay as they are", async () => {
    const [q, k, v] = inputs();
    const kvMask = allBut(7, [6]);
    const before = await k.toArray();
    const y = linearAttn(q.narrow(2, 0, 2), k, v, { kvMask });
    const [keys, values] = [k.narrow(2, 0, 6), v.narrow(2, 0, 6)];
    const weights = q.narrow(2, 0, 2).softmax(-1).matmul(keys.softmax(-2).transpose(-1, -2));
    await expectClose(y, weights.matmul(values).div(Math.sqrt(3)), close);
    expect(await k.toArray()).toEqual(before);

    const nothing = linearAttn(q, k, v, { kvMask: zeros([1, 7], { dtype: "bool" }) });
    expect(await nothing.abs().max().item()).toBe(0);
    await checkGradients(
      (a, b, c, mask) => linearAttn(a, b, c, { kvMask: mask }),
      [q, k, v, kvMask],
    );
  });
});
