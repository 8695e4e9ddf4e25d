/** Function bodies: locals and statements. */

import { ByteBuffer, type Code, flatten, memoryArgument, simd, unsigned, vector } from "./code.js";
import type { Expression, F32, I32, I32Like, I64, V128, ValueType } from "./expression.js";
import { i32, integer } from "./types.js";

/** A local variable. It is an expression: used as one, it is read. */
export type Local<T extends Expression> = T & {
  /** Its number in the function. */
  readonly index: number;
  /** Sets it and gives the value. */
  tee(value: T): T;
};

/** The parameters of a function, typed by its signature. */
export type Parameters<P extends readonly ValueType[]> = {
  -readonly [K in keyof P]: P[K] extends ValueType<infer T> ? Local<T> : never;
};

/** The arguments of a call, typed by the signature. */
export type Arguments<P extends readonly ValueType[]> = {
  -readonly [K in keyof P]: P[K] extends ValueType<infer T> ? T : never;
};

/** What a function takes and gives. */
export interface Signature<
  P extends readonly ValueType[] = readonly ValueType[],
  R extends Expression | null = Expression | null,
> {
  /** Types of the parameters, e.g. `[i32, f32]`. */
  readonly parameters: P;
  /** Type of the result, or `null`. */
  readonly result: R extends Expression ? ValueType<R> : null;
}

/** A function of the module, to be called. */
export interface FunctionReference<
  P extends readonly ValueType[] = readonly ValueType[],
  R extends Expression | null = Expression | null,
> {
  /** Its number in the module. */
  readonly index: number;
  readonly signature: Signature<P, R>;
  /** A call as an expression, for functions with a result. Called where it is used. */
  call(...args: Arguments<P>): R;
}

/** A place a branch can go to: the end of a block or the start of a loop. */
export interface Label {
  /** Nesting depth at which the block or loop sits. */
  readonly depth: number;
}

function makeLocal<T extends Expression>(type: ValueType<T>, index: number): Local<T> {
  const number = unsigned(index);
  return Object.assign(type.of([0x20, ...number]), {
    index,
    tee: (value: T): T => type.of([value, 0x22, ...number]),
  });
}

const emptyBlock = 0x40;

/** Writes the body of one function. Statements are appended in the order of the calls. */
export class FunctionBuilder {
  private readonly parameterCount: number;
  private readonly locals: number[] = [];
  private readonly bytes = new ByteBuffer();
  // Runs before the statements; holds the constants.
  private readonly prologue = new ByteBuffer();
  private readonly constants = new Map<string, Expression>();
  // Number of blocks, loops and ifs that are open.
  private depth = 0;
  private readonly typeIndex: (signature: Signature) => number;

  /** Made by `ModuleBuilder.function`. */
  constructor(parameterCount: number, typeIndex: (signature: Signature) => number) {
    this.parameterCount = parameterCount;
    this.typeIndex = typeIndex;
  }

  private write(code: Code): void {
    flatten(code, this.bytes);
  }

  /** A new local. It is 0 at the start of the function (not at every turn of a loop). */
  local<T extends Expression>(type: ValueType<T>): Local<T> {
    this.locals.push(type.id);
    return makeLocal(type, this.parameterCount + this.locals.length - 1);
  }

  /** Several new locals of one type. */
  localArray<T extends Expression>(type: ValueType<T>, count: number): Local<T>[] {
    return Array.from({ length: count }, () => this.local(type));
  }

  /** Computes a value here, once, and keeps it in a new local. */
  let<T extends Expression>(value: T): Local<T> {
    const local = this.local(value.type as ValueType<T>);
    this.set(local, value);
    return local;
  }

  /**
   * Keeps a value that depends on nothing, such as a vector constant, in a local that is set once
   * at the start of the function. Engines build vector constants anew at every use, which costs
   * more than the operation they are used for; the same constant is kept once.
   */
  constant<T extends Expression>(value: T): T {
    const bytes = new ByteBuffer();
    flatten(value.code, bytes);
    return this.constantOf(bytes.view().join(), () => value);
  }

  /** The same for a value that is named by a key, and made only if it is new. */
  constantOf<T extends Expression>(key: string, make: () => T): T {
    const kept = this.constants.get(key);
    if (kept) return kept as T;
    const value = make();
    const local = this.local(value.type as ValueType<T>);
    flatten([value, 0x21, ...unsigned(local.index)], this.prologue);
    this.constants.set(key, local);
    return local;
  }

  /** The value itself where using it twice costs nothing (locals, constants), else a new local. */
  keep<T extends Expression>(value: T): T {
    return "index" in value || "constant" in value ? value : this.let(value);
  }

  /** The same as `let` for a plain number or an integer. */
  letI32(value: I32Like): Local<I32> {
    return this.let(integer(value));
  }

  /** `local = value`. */
  set<T extends Expression>(local: Local<T>, value: T): void {
    this.write([value, 0x21, ...unsigned(local.index)]);
  }

  /** `local += step`. */
  increment(local: Local<I32>, step: I32Like): void {
    this.set<I32>(local, local.add(step));
  }

  /** Evaluates an expression for what it does and drops its value. */
  drop(value: Expression): void {
    this.write([value, 0x1a]);
  }

  private store(
    opcode: readonly number[],
    align: number,
    address: I32,
    value: Expression | number,
    offset: number,
  ): void {
    this.write([address, integer(value), ...opcode, ...memoryArgument(align, offset)]);
  }

  /** Stores four bytes. */
  storeI32(address: I32, value: I32Like, offset = 0): void {
    this.store([0x36], 2, address, value, offset);
  }

  /** Stores the low byte. */
  storeI8(address: I32, value: I32Like, offset = 0): void {
    this.store([0x3a], 0, address, value, offset);
  }

  /** Stores the low two bytes. */
  storeI16(address: I32, value: I32Like, offset = 0): void {
    this.store([0x3b], 1, address, value, offset);
  }

  /** Stores a float32. */
  storeF32(address: I32, value: F32, offset = 0): void {
    this.store([0x38], 2, address, value, offset);
  }

  /** Stores sixteen bytes. */
  storeV128(address: I32, value: V128, offset = 0): void {
    this.store(simd(11), 2, address, value, offset);
  }

  /** Stores one lane of 8, 16, 32 or 64 bits. */
  storeLane(bits: 8 | 16 | 32 | 64, address: I32, value: V128, lane: number, offset = 0): void {
    const size = Math.log2(bits) - 3;
    this.store(simd(88 + size), Math.min(size, 2), address, value, offset);
    this.bytes.push(lane);
  }

  /** Atomic store of four aligned bytes. */
  atomicStoreI32(address: I32, value: I32Like, offset = 0): void {
    this.store([0xfe, 0x17], 2, address, value, offset);
  }

  /** Atomic store of eight aligned bytes. */
  atomicStoreI64(address: I32, value: I64, offset = 0): void {
    this.store([0xfe, 0x18], 3, address, value, offset);
  }

  /** Copies bytes; the ranges may overlap. */
  memoryCopy(to: I32, from: I32, bytes: I32Like): void {
    this.write([to, from, integer(bytes), 0xfc, 0x0a, 0x00, 0x00]);
  }

  /** Fills bytes with the low byte of a value. */
  memoryFill(to: I32, value: I32Like, bytes: I32Like): void {
    this.write([to, integer(value), integer(bytes), 0xfc, 0x0b, 0x00]);
  }

  /** `if (condition) { … } else { … }`. */
  if(condition: I32, whenTrue: () => void, whenFalse?: () => void): void {
    this.nested([condition, 0x04], () => {
      whenTrue();
      if (whenFalse) {
        this.bytes.push(0x05);
        whenFalse();
      }
    });
  }

  /** A block; branches to its label leave it. */
  block(body: (exit: Label) => void): void {
    this.nested([0x02], body);
  }

  /** A loop; it ends unless the body branches to the label, which starts it anew. */
  loop(body: (again: Label) => void): void {
    this.nested([0x03], body);
  }

  private nested(opening: Code, body: (label: Label) => void): void {
    this.write([...opening, emptyBlock]);
    body({ depth: ++this.depth });
    this.bytes.push(0x0b);
    this.depth--;
  }

  /** Goes to a label, always or if a condition holds. */
  branch(label: Label, condition?: I32): void {
    this.write([
      ...(condition ? [condition, 0x0d] : [0x0c]),
      ...unsigned(this.depth - label.depth),
    ]);
  }

  /** `do { … } while (condition)`; the tightest loop. */
  doWhile(body: () => void, condition: I32): void {
    this.loop((again) => {
      body();
      this.branch(again, condition);
    });
  }

  /** `while (condition) { … }`. */
  while(condition: I32, body: () => void): void {
    this.if(condition, () => this.doWhile(body, condition));
  }

  /**
   * `for (local = from; local < to; local += step) { … }`; with a negative constant step, while
   * `local > to`. Comparisons are signed: for addresses use `forAddress`.
   */
  for(local: Local<I32>, from: I32Like, to: I32Like, step: I32Like, body: () => void): void {
    this.countedLoop(local, from, to, step, body, "less", "greater");
  }

  /** The same over addresses, which are compared as unsigned numbers. */
  forAddress(local: Local<I32>, from: I32Like, to: I32Like, step: I32Like, body: () => void): void {
    this.countedLoop(local, from, to, step, body, "lessUnsigned", "greaterUnsigned");
  }

  private countedLoop(
    local: Local<I32>,
    from: I32Like,
    to: I32Like,
    step: I32Like,
    body: () => void,
    up: "less" | "lessUnsigned",
    down: "greater" | "greaterUnsigned",
  ): void {
    const start = integer(from);
    // The limit and the step are evaluated once.
    const limit = this.keep(integer(to));
    const increment = this.keep(integer(step));
    const condition = local[(increment.constant ?? 0) < 0 ? down : up](limit);
    this.set<I32>(local, start);
    const turn = (): void => {
      body();
      this.increment(local, increment);
    };
    const [first, last] = [start.constant, limit.constant];
    if (first === undefined || last === undefined) this.while(condition, turn);
    else if (increment.constant! < 0 ? first > last : first < last) this.doWhile(turn, condition);
  }

  /** Calls a function and drops its result, if any. */
  call<P extends readonly ValueType[]>(
    target: FunctionReference<P, Expression | null>,
    ...args: Arguments<P>
  ): void {
    const drop = target.signature.result ? [0x1a] : [];
    this.write([...(args as Expression[]), 0x10, ...unsigned(target.index), ...drop]);
  }

  /** Calls entry `entry` of the table, dropping the result. Traps if it has another signature. */
  callIndirect<P extends readonly ValueType[]>(
    signature: Signature<P>,
    entry: I32,
    ...args: Arguments<P>
  ): void {
    const type = unsigned(this.typeIndex(signature));
    const drop = signature.result ? [0x1a] : [];
    this.write([...(args as Expression[]), entry, 0x11, ...type, 0x00, ...drop]);
  }

  /** Leaves the function. */
  return(value?: Expression): void {
    this.write(value ? [value, 0x0f] : [0x0f]);
  }

  /** The encoded body, ended by `result` where the function has one. */
  finish(result: Expression | undefined): Uint8Array {
    if (result) this.write([result]);
    // Each local as a group of its own.
    const groups = vector(this.locals.map((type) => [1, type]));
    const body = new ByteBuffer();
    body.append(unsigned(groups.length + this.prologue.length + this.bytes.length + 1));
    for (const part of [groups, this.prologue.view(), this.bytes.view(), [0x0b]]) {
      body.append(part);
    }
    return body.view();
  }
}

/** The parameters of a function as locals. */
export function parameterLocals<P extends readonly ValueType[]>(types: P): Parameters<P> {
  return types.map((type, index) => makeLocal(type, index)) as Parameters<P>;
}

/** `condition ? whenTrue : whenFalse` where only one of the two is computed. */
export function choose<T extends Expression>(condition: I32, whenTrue: T, whenFalse: T): T {
  const { type } = whenTrue;
  return type.of([condition, 0x04, type.id, whenTrue, 0x05, whenFalse, 0x0b]) as T;
}

/** The signature of a kernel: `(arguments, begin, end, scratch)`. */
export const kernelSignature: Signature<
  readonly [typeof i32, typeof i32, typeof i32, typeof i32],
  null
> = { parameters: [i32, i32, i32, i32], result: null };
