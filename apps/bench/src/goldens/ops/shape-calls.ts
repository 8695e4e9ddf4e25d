/** The meaning of shape operations: PyTorch's names and arguments on `@x/tensor`. */

import { cat, stack, type Tensor } from "@x/tensor";
import type { Argument, Call, Index } from "./call-syntax.js";

/** Reads the arguments of a call in PyTorch's order or by name. */
class Arguments {
  readonly #call: Call;
  readonly #order: readonly string[];

  constructor(call: Call, order: readonly string[]) {
    this.#call = call;
    this.#order = order;
  }

  #find(name: string): Argument | undefined {
    return this.#call.named.get(name) ?? this.#call.positional[this.#order.indexOf(name)];
  }

  number(name: string, otherwise?: number): number {
    const value = this.#find(name) ?? otherwise;
    if (typeof value !== "number") throw new Error(`${this.#call.name} must get a number "${name}"`);
    return value;
  }

  /** One number, several, or `undefined` if it is not given. */
  numbers(name: string): number | number[] | undefined {
    const value = this.#find(name) ?? undefined;
    if (value === undefined || typeof value === "number") return value;
    return numbersIn(value);
  }

  /** The list that is spread over all positional arguments or given as one. */
  spread(name: string): number[] {
    const { positional, named } = this.#call;
    const given = named.get(name) ?? (positional.length === 1 ? positional[0]! : positional);
    return numbersIn(typeof given === "number" ? [given] : given);
  }
}

function numbersIn(value: Argument): number[] {
  if (!Array.isArray(value) || !value.every((element) => typeof element === "number")) {
    throw new Error(`a list of numbers was expected, got ${JSON.stringify(value)}`);
  }
  return value;
}

function many(value: number | number[] | undefined): number[] {
  if (value === undefined) return [];
  return typeof value === "number" ? [value] : value;
}

interface Method {
  /** Names of the arguments in order. */
  readonly arguments: readonly string[];
  readonly compute: (x: Tensor, given: Arguments) => Tensor | Tensor[];
}

function method(names: string, compute: Method["compute"]): Method {
  return { arguments: names.split(" ").filter((name) => name !== ""), compute };
}

const transpose = method("dim0 dim1", (x, given) =>
  x.transpose(given.number("dim0"), given.number("dim1")),
);
const reshape = method("shape", (x, given) => x.reshape(given.spread("shape")));
const expand = method("size", (x, given) => x.expand(given.spread("size")));
const repeat = method("repeats", (x, given) => x.repeat(given.spread("repeats")));
const permute = method("dims", (x, given) => x.permute(given.spread("dims")));

const methods: Readonly<Record<string, Method>> = {
  transpose,
  swapaxes: transpose,
  swapdims: transpose,
  permute,
  reshape,
  view: reshape,
  expand,
  broadcast_to: expand,
  repeat,
  tile: repeat,
  t: method("", (x) => x.t()),
  contiguous: method("", (x) => x),
  flatten: method("start_dim end_dim", (x, given) =>
    x.flatten(given.number("start_dim", 0), given.number("end_dim", -1)),
  ),
  unflatten: method("dim sizes", (x, given) =>
    x.unflatten(given.number("dim"), many(given.numbers("sizes"))),
  ),
  squeeze: method("dim", (x, given) => x.squeeze(given.numbers("dim"))),
  unsqueeze: method("dim", (x, given) => x.unsqueeze(given.number("dim"))),
  flip: method("dims", (x, given) => x.flip(given.spread("dims"))),
  roll: method("shifts dims", (x, given) =>
    x.roll(given.numbers("shifts") ?? 0, given.numbers("dims")),
  ),
  repeat_interleave: method("repeats dim", (x, given) => {
    const dim = given.numbers("dim");
    return x.repeatInterleave(given.number("repeats"), typeof dim === "number" ? dim : undefined);
  }),
  chunk: method("chunks dim", (x, given) => x.chunk(given.number("chunks"), given.number("dim", 0))),
  split: method("split_size dim", (x, given) => {
    const size = given.numbers("split_size") ?? given.numbers("split_size_or_sections");
    return x.split(size ?? given.number("split_size"), given.number("dim", 0));
  }),
  unbind: method("dim", (x, given) => x.unbind(given.number("dim", 0))),
  select: method("dim index", (x, given) => x.select(given.number("dim"), given.number("index"))),
  narrow: method("dim start length", (x, given) =>
    x.narrow(given.number("dim"), given.number("start"), given.number("length")),
  ),
  unfold: method("dim size step", (x, given) =>
    x.unfold(
      given.number("dim", given.number("dimension", NaN)),
      given.number("size"),
      given.number("step"),
    ),
  ),
  diagonal: method("offset dim1 dim2", (x, given) =>
    x.diagonal(given.number("offset", 0), given.number("dim1", 0), given.number("dim2", 1)),
  ),
  tril: method("diagonal", (x, given) => x.tril(given.number("diagonal", 0))),
  triu: method("diagonal", (x, given) => x.triu(given.number("diagonal", 0))),
  pad: method("pad value", (x, given) =>
    x.pad(many(given.numbers("pad")), given.number("value", 0)),
  ),
};

/** Applies one call to one tensor; some calls give several. */
export function applyCall(call: Call, x: Tensor): Tensor | Tensor[] {
  const found = methods[call.name];
  if (found === undefined) throw new Error(`the shape operation "${call.name}" is unknown`);
  return found.compute(x, new Arguments(call, found.arguments));
}

const joins: Readonly<Record<string, typeof cat>> = { cat, concat: cat, stack };

/** Joins tensors: `cat` and `stack`. `null` if the call is neither. */
export function applyJoin(call: Call, tensors: readonly Tensor[]): Tensor | null {
  const join = joins[call.name];
  return join ? join(tensors, new Arguments(call, ["dim"]).number("dim", 0)) : null;
}

/** Applies an index expression. */
export function applyIndex(index: Index, x: Tensor): Tensor {
  return x.slice(...index.parts);
}
