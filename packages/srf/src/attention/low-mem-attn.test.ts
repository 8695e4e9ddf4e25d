import { beforeAll, describe, expect, test } from "vitest";
import { arange, grad, manualSeed, rand, randn, setDevice, zeros, type Tensor } from "@x/tensor";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { lowMemAttn } from "./low-mem-attn.js";

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(1);
  });

  test("is the quotient of sums over all pairs, and its scale cancels in gradients too", async () => {
    const q = await rand([2, 4, 3, 4]).realize();
    const k = await rand([2, 2, 5, 4]).realize();
    const v = await randn([2, 2, 5, 3]).realize();
    for (const causal of [true, false]) {
      const definition = (query: Tensor): Tensor => {
        const scores = query.matmul(k.repeatInterleave(2, 1).transpose(-1, -2));
        const last = arange(3).add(2).unsqueeze(-1);
        const seen = causal ? scores.mul(arange(5).le(last)) : scores;
        return seen.matmul(v.repeatInterleave(2, 1)).div(seen.sum(-1, { keepdim: true }));
      };
      const ours = (query: Tensor): Tensor => lowMemAttn(query, k, v, { causal, smScale: 0.7 });
      await expectClose(ours(q), definition(q), { relativeTo: "largest" });
      const gradient = (f: (query: Tensor) => Tensor): Tensor =>
        grad((query: Tensor) => f(query).square().sum())(q);
      await expectClose(gradient(ours), gradient(definition), { relativeTo: "largest" });
    }
  });

  test("gives 0 where scores add up to 0", async () => {
    const x = rand([1, 1, 3, 2]);
    expect(await lowMemAttn(x, x.mul(0), x).abs().amax().item()).toBe(0);
  });
});

test("errors", () => {
  const x = zeros([1, 1, 3, 2]);
  const call = (): unknown => lowMemAttn(x, x, x, { smScale: NaN });
  expect(call).toThrow("lowMemAttn: smScale must be a finite number, got NaN. Correct it.");
  expect(codeOf(call)).toBe("argument");
  expect(() => lowMemAttn(x, zeros([1, 1, 3, 4]), x)).toThrow(
    "lowMemAttn: queries, keys and values",
  );
});
