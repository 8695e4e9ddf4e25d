import { describe, expect, it } from "vitest";
import {
  choose,
  f32,
  f32x4,
  f64,
  type FunctionReference,
  i32,
  i32x4,
  i64,
  i8x16,
  kernelSignature,
  ModuleBuilder,
  type ModuleOptions,
  supportsRelaxedSimd,
  supportsSimd,
  supportsThreads,
  v128,
} from "./index.js";

type Exports = Record<string, (...args: number[]) => number>;

function instantiate(module: ModuleBuilder, memory?: WebAssembly.Memory): Exports {
  const compiled = new WebAssembly.Module(module.toBytes());
  const imports = { env: { memory: memory ?? new WebAssembly.Memory({ initial: 1 }) } };
  // The test knows what it exports.
  return new WebAssembly.Instance(compiled, imports).exports as unknown as Exports;
}

function build(define: (module: ModuleBuilder) => void, options?: ModuleOptions): Exports {
  const module = new ModuleBuilder(options);
  define(module);
  return instantiate(module);
}

describe("functions", () => {
  it("computes with integers and folds constants", () => {
    const { run } = build((module) => {
      module.function("run", { parameters: [i32, i32], result: i32 }, (_, a, b) =>
        a.multiply(8).add(b.remainderUnsigned(8)).subtract(i32.const(3).add(4)),
      );
    });
    expect(run!(5, 13)).toBe(38);
    expect(i32.const(3).multiply(4).add(-12).constant).toBe(0);
  });

  it("encodes constants of every size", () => {
    for (const value of [0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, 2 ** 31 - 1, -(2 ** 31)]) {
      const { run } = build((module) => {
        module.function("run", { parameters: [], result: i32 }, () => i32.const(value));
      });
      expect(run!()).toBe(value);
    }
  });

  it("keeps values in locals", () => {
    const { run } = build((module) => {
      module.function("run", { parameters: [f32], result: f32 }, (f, x) => {
        const square = f.let(x.multiply(x));
        const other = f.local(f32);
        return other.tee(square.add(square)).add(other);
      });
    });
    expect(run!(3)).toBe(36);
  });

  it("loops up, down, while, and not at all", () => {
    const { up, down, halve, addresses } = build((module) => {
      const one = { parameters: [i32], result: i32 } as const;
      module.function("up", one, (f, n) => {
        const [i, sum] = [f.local(i32), f.local(i32)];
        f.for(i, 0, n, 2, () => {
          f.increment(sum, i);
        });
        return sum;
      });
      module.function("down", one, (f, n) => {
        const [i, sum] = [f.local(i32), f.local(i32)];
        f.for(i, n, 0, -1, () => {
          f.increment(sum, i);
        });
        return sum;
      });
      module.function("halve", one, (f, n) => {
        const steps = f.local(i32);
        f.while(n.greater(1), () => {
          f.set(n, n.shiftRight(1));
          f.increment(steps, 1);
        });
        return steps;
      });
      module.function("addresses", one, (f, from) => {
        const [i, count] = [f.local(i32), f.local(i32)];
        f.forAddress(i, from, from.add(64), 16, () => {
          f.increment(count, 1);
        });
        return count;
      });
    });
    expect([up!(10), up!(0), up!(-5)]).toEqual([20, 0, 0]);
    expect([down!(4), down!(0)]).toEqual([10, 0]);
    expect([halve!(1), halve!(1024)]).toEqual([0, 10]);
    expect(addresses!(2 ** 31 - 32)).toBe(4);
  });

  it("branches", () => {
    const { sign, find, lazy } = build((module) => {
      module.function("sign", { parameters: [i32], result: i32 }, (f, x) => {
        const result = f.local(i32);
        f.if(
          x.less(0),
          () => {
            f.set(result, i32.const(-1));
          },
          () => {
            f.if(x.greater(0), () => {
              f.return(i32.const(1));
            });
          },
        );
        return result;
      });
      module.function("find", { parameters: [i32], result: i32 }, (f, target) => {
        const i = f.local(i32);
        f.block((found) => {
          f.loop((again) => {
            f.branch(found, i.multiply(i).greaterEqual(target));
            f.increment(i, 1);
            f.branch(again);
          });
        });
        return i;
      });
      module.function("lazy", { parameters: [i32], result: i32 }, (_, x) =>
        choose(x.isZero(), i32.const(-1), i32.const(100).divide(x)),
      );
    });
    expect([-7, 0, 9].map((x) => sign!(x))).toEqual([-1, 0, 1]);
    expect(find!(50)).toBe(8);
    expect([lazy!(0), lazy!(7)]).toEqual([-1, 14]);
  });

  it("calls directly, recursively and through the table", () => {
    const module = new ModuleBuilder();
    const signature = { parameters: [i32], result: i32 } as const;
    const double = module.function("double", signature, (_, x) => x.add(x));
    module.function("factorial", signature, (_, n) => {
      const self = module.get("factorial") as FunctionReference<readonly [typeof i32], typeof n>;
      return choose(n.lessEqual(1), i32.const(1), n.multiply(self.call(n.subtract(1))));
    });
    const note = (value: number): FunctionReference =>
      module.function(`note${value}`, { parameters: [i32], result: null }, (f, address) => {
        f.storeI32(address, value);
      });
    module.table([note(11), note(22)]);
    module.function("run", { parameters: [i32, i32], result: i32 }, (f, entry, address) => {
      f.callIndirect({ parameters: [i32], result: null }, entry, address);
      f.call(double, entry);
      return double.call(i32.load(address)).add(1);
    });
    const exports = instantiate(module);
    expect(exports["factorial"]!(6)).toBe(720);
    expect([exports["run"]!(0, 64), exports["run"]!(1, 64)]).toEqual([23, 45]);
  });

  it("refuses a key twice", () => {
    const module = new ModuleBuilder();
    module.function("a", { parameters: [], result: null }, () => {});
    expect(module.has("a")).toBe(true);
    expect(() => module.function("a", { parameters: [], result: null }, () => {})).toThrow(/twice/);
  });

  it("converts between scalar types", () => {
    const { run, wide } = build((module) => {
      module.function("run", { parameters: [f64], result: f32 }, (_, x) =>
        f32
          .demote(x.sqrt())
          .add(f32.reinterpret(i32.const(0x3fc00000)))
          .maximum(f32.const(-1)),
      );
      module.function("wide", { parameters: [i32], result: i32 }, (_, x) =>
        i64
          .extendUnsigned(x)
          .multiply(i64.const(2n ** 33n))
          .shiftRightUnsigned(i64.const(32))
          .wrap(),
      );
    });
    expect(run!(16.7)).toBeCloseTo(1.5 + Math.sqrt(16.7), 5);
    expect(wide!(21)).toBe(42);
  });
});

describe("vectors", () => {
  it("runs a kernel over memory", () => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const module = new ModuleBuilder({ relaxed: supportsRelaxedSimd() });
    // y[begin … end) += a * x in steps of four, arguments: address of x, of y, a
    module.function("axpy", kernelSignature, (f, args, begin, end) => {
      const [x, y, i] = [f.let(i32.load(args)), f.let(i32.load(args, 4)), f.local(i32)];
      const a = f.let(v128.load32Splat(args, 8));
      f.for(i, begin.shiftLeft(4), end.shiftLeft(4), 16, () => {
        f.storeV128(y.add(i), module.madd(a, v128.load(x.add(i)), v128.load(y.add(i))));
      });
    });
    const floats = new Float32Array(memory.buffer);
    for (let i = 0; i < 16; i++) {
      floats[32 + i] = i;
      floats[64 + i] = 100;
    }
    new Uint32Array(memory.buffer).set([128, 256]);
    floats[2] = 0.5;
    instantiate(module, memory)["axpy"]!(0, 1, 3, 0);
    expect([...floats.slice(64, 80)]).toEqual(
      Array.from({ length: 16 }, (_, i) => (i >= 4 && i < 12 ? 100 + i / 2 : 100)),
    );
  });

  it("shuffles, compares, selects and moves lanes", () => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const module = new ModuleBuilder();
    module.function("run", { parameters: [], result: i32 }, (f) => {
      const a = f.let(f32x4.const(1, -2, 3, -4));
      const zero = v128.zero();
      f.storeV128(i32.const(0), i32x4.shuffle(a, f32x4.splat(9), [3, 2, 4, 0]));
      f.storeV128(i32.const(16), v128.bitselect(a, zero, f32x4.greater(a, zero)));
      f.storeV128(i32.const(32), v128.load32Lane(i32.const(0), f32x4.negate(a), 2));
      f.storeLane(32, i32.const(48), a, 1);
      f.storeV128(i32.const(64), i32x4.truncateF32x4(a));
      f.memoryFill(i32.const(80), 1, 4);
      f.memoryCopy(i32.const(84), i32.const(80), 4);
      f.storeV128(i32.const(96), i8x16.shuffle(a, a, [...Array(16).keys()].reverse()));
      return i32x4.bitmask(a);
    });
    expect(instantiate(module, memory)["run"]!()).toBe(0b1010);
    const floats = new Float32Array(memory.buffer);
    expect([...floats.slice(0, 4)]).toEqual([-4, 3, 9, 1]);
    expect([...floats.slice(4, 8)]).toEqual([1, 0, 3, 0]);
    expect([...floats.slice(8, 13)]).toEqual([-1, 2, -4, 4, -2]);
    expect([...new Int32Array(memory.buffer, 64, 6)]).toEqual([
      1, -2, 3, -4, 0x01010101, 0x01010101,
    ]);
  });

  it("gives the same numbers fused or not, to rounding", () => {
    for (const relaxed of supportsRelaxedSimd() ? [false, true] : [false]) {
      const { run } = build(
        (module) => {
          module.function("run", { parameters: [f32, f32, f32], result: f32 }, (f, a, b, c) => {
            const [x, y, z] = [f32x4.splat(a), f32x4.splat(b), f32x4.splat(c)].map((v) => f.let(v));
            return f32x4.extractLane(
              f32x4.add(module.madd(x!, y!, z!), module.nmadd(x!, y!, z!)),
              3,
            );
          });
        },
        { relaxed },
      );
      expect(run!(1.5, 2.25, 7)).toBe(14);
    }
  });
});

describe("probes and threads", () => {
  it("finds what Node has", () => {
    expect(supportsSimd()).toBe(true);
    expect(supportsThreads()).toBe(true);
    expect(typeof supportsRelaxedSimd()).toBe("boolean");
  });

  it("works on shared memory with atomics", () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 16, shared: true });
    const module = new ModuleBuilder({ memory: { shared: true, maximumPages: 16 } });
    module.function("run", { parameters: [], result: i32 }, (f) => {
      const at = i32.const(8);
      f.atomicStoreI32(at, 5);
      f.drop(i32.atomicAdd(at, 3));
      f.atomicStoreI64(i32.const(16), i64.const(-1n));
      const wide = i64.atomicCompareExchange(at, i64.const(8), i64.const(20), 0);
      const before = f.let(wide.wrap());
      // Both come back at once: nobody sleeps there, and what is there is not what is expected.
      const woken = f.let(i32.atomicNotify(at, -1));
      f.drop(i32.atomicWait(at, 7, i64.const(-1)));
      const high = i64.atomicLoad(at, 8).shiftRightUnsigned(i64.const(60)).wrap();
      return i32.atomicLoad(at).add(before.multiply(100)).add(woken.multiply(1000)).add(high);
    });
    expect(instantiate(module, memory)["run"]!()).toBe(835);
  });
});
