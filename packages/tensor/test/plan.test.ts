import { describe, expect, it } from "vitest";
import {
  cumulativeLinearAttention,
  realize,
  reference,
  setDevice,
  tensor,
  wasm,
  zeros,
  type Tensor,
} from "../src/index.js";
import { expectClose } from "../src/testing/index.js";
import type { Device } from "../src/index.js";
import { LoopDevice } from "./loop-device.js";

type Program = () => Tensor[];

async function runOn(device: Device, program: Program): Promise<number[][]> {
  setDevice(device);
  const outputs = program();
  await realize(...outputs);
  const results: number[][] = [];
  for (const output of outputs) results.push([...(await output.data())]);
  setDevice(reference());
  return results;
}

const ramp = (shape: number[], scale = 0.37): Tensor => {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(Array.from({ length: size }, (_, i) => Math.sin(i * scale) * 2)).reshape(shape);
};

const programs: Record<string, Program> = {
  "elementwise chains": () => [ramp([3, 4]).add(1).mul(2).exp()],
  broadcasting: () => [
    ramp([3, 1])
      .add(ramp([4]))
      .mul(ramp([2, 1, 1])),
  ],
  "reductions with epilogues": () => [ramp([3, 4, 5]).exp().sum([0, 2]).add(1).log()],
  "layer norm by hand": () => {
    const x = ramp([4, 6]);
    const centred = x.sub(x.mean(-1, { keepdim: true }));
    return [centred.div(centred.square().mean(-1, { keepdim: true }).add(1e-5).sqrt())];
  },
  "head split and merge": () => {
    const x = ramp([2, 3, 8]).exp();
    return [
      x.reshape([2, 3, 2, 4]).permute([0, 2, 1, 3]).mul(2).permute([0, 2, 1, 3]).reshape([2, 3, 8]),
    ];
  },
  "reshape that splits": () => [
    ramp([6, 4])
      .exp()
      .reshape([2, 12])
      .permute([1, 0])
      .add(ramp([12, 2])),
  ],
  "reshape that cannot be followed": () => [ramp([6, 4]).permute([1, 0]).reshape([3, 8]).add(1)],
  "slices, flips, padding": () => [
    ramp([5, 7]).slice([1, 4], [0, 7, 2]).flip([0]).pad([1, 2, 0, 1]).add(1),
  ],
  "padding of computed values": () => [ramp([2, 3]).exp().pad([1, 1]).mul(3)],
  "matmul of views": () => [
    ramp([3, 4])
      .t()
      .matmul(ramp([3, 5]).add(1))
      .add(ramp([5]))
      .sum(0),
  ],
  "products with epilogues": () => {
    const [x, w, bias] = [ramp([2, 3, 4]), ramp([5, 4]), ramp([5])];
    const linear = x.matmul(w.t()).add(bias);
    const scaled = x.matmul(w.t().mul(2)).mul(0.5);
    return [
      linear.gelu(),
      linear
        .relu()
        .add(ramp([2, 3, 5]))
        .sum(-1),
      scaled.exp(),
      scaled.add(1),
    ];
  },
  "products read at other places": () => [
    ramp([3, 4])
      .matmul(ramp([4, 3]))
      .t()
      .add(ramp([3, 3])),
    ramp([3, 4])
      .matmul(ramp([4, 3]))
      .flip([0])
      .mul(2),
    ramp([3, 4])
      .matmul(ramp([4, 6]))
      .slice([0, 2])
      .mul(2),
    ramp([1, 4])
      .matmul(ramp([4, 1]))
      .expand([3, 3])
      .mul(2),
  ],
  "shared expensive values": () => {
    const e = ramp([4, 4]).exp();
    return [e.add(1), e.mul(e).sum(), e];
  },
  "outputs that are views or inputs": () => {
    const x = ramp([2, 3]);
    return [x.t(), x, x.reshape([6])];
  },
  "products without elements": () => [
    zeros([3, 0])
      .reshape([0, 5])
      .matmul(zeros([5, 2])),
    zeros([2, 3, 0])
      .reshape([6, 0])
      .matmul(zeros([0, 4])),
  ],
  "zero sizes": () => [zeros([0, 3]).exp(), zeros([0, 3]).add(1).sum(0), zeros([2, 0]).prod(1)],
  "argmax and max": () => [ramp([3, 5]).argmax(1), ramp([3, 5]).amax(1).mul(2)],
  "many tensors in one expression": () => {
    const parts = Array.from({ length: 12 }, (_, i) => ramp([3, 4], 0.1 * (i + 1)));
    const sum = parts.reduce((a, b, i) => a.mul(b.exp()).add(i % 2 === 0 ? a : b));
    const nested = parts.map((part, i) => part.mul(parts[11 - i]!)).reduce((a, b) => b.sub(a));
    return [sum, nested.t().square().sum(0).add(sum.sum(1).sum()), nested];
  },
  "two reductions in one expression": () => {
    const x = ramp([3, 5]);
    return [x.sum(1).mul(x.exp().amax(1))];
  },
};

const devices: Record<string, () => Device> = {
  "interpreted loops": () => new LoopDevice(),
  "loops of four buffers": () => new LoopDevice(4),
  wasm: () => wasm(),
};

describe.each(Object.entries(devices))("plans on %s", (_, makeDevice) => {
  for (const [name, program] of Object.entries(programs)) {
    it(`compute ${name}`, async () => {
      const expected = await runOn(reference(), program);
      const actual = await runOn(makeDevice(), program);
      actual.forEach((values, i) => {
        expect(values.length).toBe(expected[i]!.length);
        values.forEach((value, j) => {
          const wanted = expected[i]![j]!;
          expect(Math.abs(value - wanted)).toBeLessThanOrEqual(
            1e-5 * Math.max(1, Math.abs(wanted)),
          );
        });
      });
    });
  }

  it("update in place after everybody has read", async () => {
    for (const device of [reference(), makeDevice()]) {
      setDevice(device);
      const a = tensor([1, 2, 3]);
      const b = tensor([10, 20, 30]);
      await realize(a.add(0), b.add(0)); // second use moves them to the device
      const sum = a.add(b);
      const [oldA, oldB] = [a.mul(1), b.mul(1)];
      a.assign(oldB);
      b.assign(oldA);
      await realize(sum, a, b);
      expect([...(await sum.data())]).toEqual([11, 22, 33]);
      expect([...(await a.data())]).toEqual([10, 20, 30]);
      expect([...(await b.data())]).toEqual([1, 2, 3]);
      for (let i = 0; i < 3; i++) {
        a.assign(a.mul(2).add(b));
        await a.realize();
      }
      expect([...(await a.data())]).toEqual([87, 174, 261]);
    }
    setDevice(reference());
  });

  it("use one result of a kernel before another overwrites memory", async () => {
    setDevice(makeDevice());
    const x = ramp([1, 2, 6, 4]);
    const part = (start: number): Tensor => x.narrow(2, start, 3);
    const whole = cumulativeLinearAttention(x, x, x, { causal: true });
    const state = zeros([1, 2, 4, 4]).add(0);
    await state.realize();
    const outputs = [0, 3].map((start) => {
      const tokens = part(start);
      const result = cumulativeLinearAttention(tokens, tokens, tokens, { causal: true, state });
      state.assign(result.state);
      return result.output.mul(2);
    });
    await realize(...outputs, state);
    for (const [i, y] of outputs.entries()) {
      const expected = whole.output.narrow(2, 3 * i, 3).mul(2);
      await expectClose(y, expected, { relativeTo: "largest" });
    }
    await expectClose(state, whole.state, { relativeTo: "largest" });
    setDevice(reference());
  });

  it("compute gradients, twice", async () => {
    const run = async (device: Device): Promise<number[][]> => {
      setDevice(device);
      const w = tensor(
        [
          [0.5, -0.3],
          [0.2, 0.9],
        ],
        { requiresGrad: true },
      );
      const x = ramp([3, 2]);
      const loss = x.matmul(w).tanh().square().mean();
      loss.backward();
      const results = [[await loss.item()], [...(await w.grad!.data())]];
      w.grad = null;
      const second = x.matmul(w).exp().sum();
      second.backward();
      results.push([...(await w.grad!.data())]);
      setDevice(reference());
      return results;
    };
    const expected = await run(reference());
    const actual = await run(makeDevice());
    actual.flat().forEach((value, i) => expect(value).toBeCloseTo(expected.flat()[i]!, 5));
  });

  it("may be very deep", async () => {
    for (const device of [reference(), makeDevice()]) {
      setDevice(device);
      let x = tensor([1, 2]);
      const w = tensor([0, 0], { requiresGrad: true });
      x = x.add(w);
      for (let i = 0; i < 10_000; i++) x = x.add(1);
      const loss = x.sum();
      loss.backward();
      expect(await loss.item()).toBe(20_003);
      expect([...(await w.grad!.data())]).toEqual([1, 1]);
    }
    setDevice(reference());
  });
});
