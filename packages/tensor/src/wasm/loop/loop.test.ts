import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { interpretLoop } from "../../../test/wasm/interpret-loop.js";
import { LoopMaker, Random } from "../../../test/wasm/random-loop.js";
import { relaxedForms } from "../../../test/wasm/run-vector.js";
import { launchesOf, runLoop } from "../../../test/wasm/run-loop.js";
import type { ScalarFunction } from "../../graph/scalar-function.js";
import type { Expression, LoopKernel, Store } from "../../plan/loop.js";
import { computeType, dtypes, type DType } from "../../tensor/dtype.js";
import type { Limits } from "./strategy.js";

// Limits that divide even small kernels.
const small: Limits = {
  itemWork: 200,
  itemElements: 100,
  additions: 4,
  columnElements: 200,
  partRows: 3,
};

function same(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b));
}

function checkRandomKernel(seed: number): void {
  const random = new Random(seed);
  const { kernel, slots, scalars } = new LoopMaker(random).make();
  const expected = slots.map((numbers) => [...numbers]);
  interpretLoop(kernel, expected, scalars);
  const runs = [
    { limits: small, shuffle: () => random.next() },
    { limits: small },
    { relaxed: random.pick(relaxedForms) },
  ];
  const atEnd = random.whole(0, slots.length - 1);
  const results = runLoop(kernel, slots, scalars, { ...random.pick(runs), atEnd });
  results.forEach((numbers, slot) => {
    numbers.forEach((x, i) => {
      if (same(x, expected[slot]![i]!)) return;
      throw new Error(
        `slot ${slot}[${i}]: got ${x}, expected ${expected[slot]![i]} in ${JSON.stringify(kernel)}`,
      );
    });
  });
}

describe("random kernels", () => {
  it("do what the interpreter does", () => {
    fc.assert(fc.property(fc.noShrink(fc.integer()), checkRandomKernel), { numRuns: 800 });
  });
});

type Partial = Pick<LoopKernel, "extents" | "body" | "stores"> & {
  readonly [K in keyof LoopKernel]?: LoopKernel[K];
};

function kernelOf(parts: Partial): LoopKernel {
  return {
    outputRank: parts.reducer ? 0 : parts.extents.length,
    reducer: null,
    epilogue: parts.reducer ? [{ kind: "reduced", dtype: "float32" }] : [],
    slots: 2,
    scalars: [],
    ...parts,
  };
}

function load(slot: number, strides: readonly number[], stored: DType = "float32"): Expression {
  const dtype = computeType(stored);
  return { kind: "load", slot, index: { offset: 0, strides }, stored, dtype };
}

function store(slot: number, strides: readonly number[], expression: number, stored: DType): Store {
  return { slot, index: { offset: 0, strides }, expression, stored };
}

function apply(name: ScalarFunction, operands: number[], dtype: DType = "float32"): Expression {
  return { kind: "apply", function: name, operands, dtype };
}

describe("functions", () => {
  const count = 1003;
  const inputs: Record<string, (x: number) => number> = {
    log: (x) => Math.abs(x),
    log1p: (x) => Math.abs(x) - 0.9,
    sqrt: (x) => Math.abs(x),
  };
  const names: readonly ScalarFunction[] = [
    "sqrt",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "erf",
    "divide",
    "remainder",
    "power",
  ];

  it.each(names)("%s agrees with the reference", (name) => {
    const change = inputs[name] ?? ((x: number) => x);
    const a = Array.from({ length: count }, (_, i) => Math.fround(change((i - 501.5) / 50)));
    const b = Array.from({ length: count }, (_, i) => ((i * 7) % 19) / 4 - 2.1);
    const isBinary = name === "divide" || name === "remainder" || name === "power";
    const kernel = kernelOf({
      extents: [count],
      body: [load(0, [1]), load(1, [1]), apply(name, isBinary ? [0, 1] : [0])],
      stores: [store(2, [1], 2, "float32")],
      slots: 3,
    });
    const slots = [a, b.map(Math.fround), a.map(() => 0)];
    const expected = slots.map((numbers) => [...numbers]);
    interpretLoop(kernel, expected, []);
    for (const relaxed of relaxedForms) {
      const result = runLoop(kernel, slots, [], { relaxed })[2]!;
      result.forEach((x, i) => {
        const exact = expected[2]![i]!;
        if (same(x, exact)) return;
        expect(Math.abs(x - exact) / Math.max(Math.abs(exact), 0.1)).toBeLessThan(1e-6);
      });
    }
  });

  it.each(["maximum", "minimum"] as const)("%s with constants keeps NaN and signs", (name) => {
    const a = [0, -0, 1, -1, Infinity, -Infinity, NaN];
    const exact = name === "maximum" ? Math.max : Math.min;
    for (const bound of [0, -0, 0.5, -0.5, NaN]) {
      const constant: Expression = { kind: "constant", value: bound, dtype: "float32" };
      for (const operands of [
        [0, 1],
        [1, 0],
      ]) {
        const kernel = kernelOf({
          extents: [a.length],
          body: [load(0, [1]), constant, apply(name, operands)],
          stores: [store(1, [1], 2, "float32")],
        });
        const result = runLoop(kernel, [a, a.map(() => 7)], [])[1];
        expect(result).toEqual(a.map((x) => exact(x, bound)));
      }
    }
  });

  it.each([2, 3, 4, 1, -1, -2, 0.5, -0.5, 0, 2.5])("x to the constant power %s", (exponent) => {
    const a = [0, -0, 1, 2, 3.5, 1e-3, 1e10, Infinity, -Infinity, NaN, -2, -3];
    const kernel = kernelOf({
      extents: [a.length],
      body: [
        load(0, [1]),
        { kind: "constant", value: exponent, dtype: "float32" },
        apply("power", [0, 1]),
      ],
      stores: [store(1, [1], 2, "float32")],
    });
    const result = runLoop(kernel, [a, a.map(() => 7)], [])[1]!;
    a.forEach((x, i) => {
      const exact = Math.fround(Math.fround(x) ** exponent);
      const error = Math.abs(result[i]! - exact) / Math.abs(exact);
      expect(Object.is(result[i], exact) || error < 3e-7, `${x}: ${result[i]}`).toBe(true);
    });
  });
});

describe("casts and storage", () => {
  const numbers: Record<DType, number[]> = {
    float32: [
      0,
      -0.5,
      0.5,
      1.5,
      -1.9,
      127.6,
      128,
      -129,
      2049,
      65520,
      3e9,
      -3e9,
      5e9,
      NaN,
      Infinity,
    ],
    float16: [0, -0.5, 0.5, 1.5, -1.90625, 127.5, 300, 65504, -65504, 2 ** -24, NaN, -Infinity],
    int32: [0, 1, -1, 127, 128, -128, -129, 300, 65537, 2 ** 31 - 1, -(2 ** 31)],
    uint32: [0, 1, 127, 128, 255, 300, 65537, 2 ** 31, 2 ** 32 - 1],
    int8: [0, 1, -1, 127, -128],
    bool: [0, 1, 1, 0, 1],
  };

  it.each(dtypes)("%s to all types", (from) => {
    const x = numbers[from];
    for (const to of dtypes) {
      const dtype = computeType(from);
      for (const body of [[load(0, [1], from)], [load(0, [1], from), apply("cast", [0], to)]]) {
        const kernel = kernelOf({
          extents: [x.length],
          body,
          stores: [store(1, [1], body.length - 1, to)],
        });
        const slots = [x, x.map(() => 0)];
        const expected = slots.map((all) => [...all]);
        interpretLoop(kernel, expected, []);
        expect(runLoop(kernel, slots, [])[1], `${from} (${dtype}) to ${to}`).toEqual(
          expected[1]!.map((value) => value + 0),
        );
      }
    }
  });
});

describe("sums", () => {
  const count = 1 << 20;
  const random = new Random(1);
  const numbers = Array.from({ length: count }, () => Math.fround(random.next()));
  const exact = numbers.reduce((a, b) => a + b);

  it("of a million numbers are right to 1e-6", () => {
    const shapes: [string, readonly number[], readonly number[]][] = [
      ["at a stretch", [count], [1]],
      ["over two axes", [1024, 1024], [1, 1024]],
      ["of short rows", [count / 4, 4], [8, 1]],
    ];
    for (const [name, extents, strides] of shapes) {
      const kernel = kernelOf({
        extents,
        reducer: "sum",
        body: [load(0, strides)],
        stores: [store(1, [0, 0].slice(0, extents.length), 0, "float32")],
      });
      const spread = name === "of short rows" ? [...numbers, ...numbers] : numbers;
      const total = name === "of short rows" ? null : exact;
      const sum = runLoop(kernel, [spread, [0]], [])[1]![0]!;
      const expected = total ?? spread.reduce((a, x, i) => (i % 8 < 4 ? a + x : a), 0);
      expect(Math.abs(sum - expected) / expected, name).toBeLessThan(1e-6);
    }
  });

  it("of columns are right to 1e-6", () => {
    const [rows, columns] = [4096, 256];
    const kernel = kernelOf({
      extents: [columns, rows],
      outputRank: 1,
      reducer: "sum",
      body: [load(0, [1, columns])],
      stores: [store(1, [1, 0], 0, "float32")],
    });
    const sums = runLoop(kernel, [numbers, Array<number>(columns).fill(0)], [])[1]!;
    sums.forEach((sum, column) => {
      let expected = 0;
      for (let row = 0; row < rows; row++) expected += numbers[row * columns + column]!;
      expect(Math.abs(sum - expected) / expected).toBeLessThan(1e-6);
    });
  });

  it("are shared out over many items, whatever the shape", () => {
    const partial = (extents: number[], strides: number[], outputRank: number): number => {
      const kernel = kernelOf({
        extents,
        outputRank,
        reducer: "sum",
        body: [load(0, strides)],
        stores: [
          store(
            1,
            strides.map((_, i) => (i < outputRank ? 1 : 0)),
            0,
            "float32",
          ),
        ],
      });
      return launchesOf(kernel).launches[0]!.items;
    };
    expect(partial([count], [1], 0)).toBeGreaterThan(8);
    expect(partial([64, count / 64], [1, 64], 1)).toBeGreaterThan(8);
    expect(partial([count / 64, 64], [64, 1], 1)).toBeGreaterThan(8);
  });
});

describe("transposes", () => {
  it.each([
    [7, 9],
    [16, 16],
    [33, 130],
    [64, 12],
  ])("of %d x %d", (rows, columns) => {
    const numbers = Array.from({ length: rows * columns }, (_, i) => i);
    const kernel = kernelOf({
      extents: [columns, rows],
      body: [load(0, [1, columns])],
      stores: [store(1, [rows, 1], 0, "float32")],
    });
    for (const limits of [undefined, small]) {
      const options = limits ? { limits } : {};
      const result = runLoop(kernel, [numbers, numbers.map(() => -1)], [], options)[1]!;
      result.forEach((x, i) => {
        if (x !== (i % rows) * columns + Math.floor(i / rows)) expect.fail(`${i}: ${x}`);
      });
    }
  });
});

describe("code", () => {
  const add = (extents: number[], strides: number[]): LoopKernel =>
    kernelOf({
      extents,
      body: [load(0, strides), load(0, strides), apply("add", [0, 0]), apply("negate", [1])],
      stores: [store(1, strides, 2, "float32")],
    });

  it("is shared by kernels that do the same", () => {
    const key = (kernel: LoopKernel): string => launchesOf(kernel).launches[0]!.code.key;
    expect(key(add([4, 6, 5], [30, 5, 1]))).toBe(key(add([120], [1])));
    expect(key(add([4, 1, 30], [30, 7, 1]))).toBe(key(add([30, 4], [1, 30])));
    expect(key(add([4, 6, 5], [60, 5, 1]))).not.toBe(key(add([120], [1])));
  });

  it("tells NaN, infinities and zeros apart", () => {
    const keys = [NaN, Infinity, -Infinity, 0, -0].map((value) => {
      const body: Expression[] = [{ kind: "constant", value, dtype: "float32" }];
      const kernel = kernelOf({ extents: [4], body, stores: [store(0, [1], 0, "float32")] });
      return launchesOf(kernel).launches[0]!.code.key;
    });
    expect(new Set(keys).size).toBe(5);
  });

  it("does not nest deeper than engines allow", () => {
    const body: Expression[] = [load(0, [1])];
    for (let i = 0; i < 20_000; i++) body.push(apply(i % 2 === 0 ? "negate" : "abs", [i]));
    const kernel = kernelOf({ extents: [8], body, stores: [store(1, [1], 20_000, "float32")] });
    expect(runLoop(kernel, [[1, 2, 3, 4, 5, 6, 7, 8], Array<number>(8).fill(0)], [])[1]).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8,
    ]);
  });
});
