/** Elementwise instructions of random programs. */

import * as ops from "../../src/ops/elementwise.js";
import type { Value } from "../../src/graph/node.js";
import { after, detach } from "../../src/ops/identity.js";
import { constant, scalar } from "../../src/ops/leaf.js";
import { drawScalars, dropout, normal, randomIntegers, uniform } from "../../src/ops/random.js";
import { dtypes, isFloat } from "../../src/tensor/dtype.js";
import type { Instruction } from "./program.js";
import type { Picker } from "./picker.js";

const one = (): Value => constant(1);

const floatFunctions: readonly ((x: Value) => Value)[] = [
  ops.sign,
  ops.floor,
  ops.ceil,
  ops.round,
  ops.trunc,
  (x) => ops.sqrt(ops.abs(x)),
  ops.exp,
  ops.expm1,
  (x) => ops.log(ops.add(ops.abs(x), constant(0.1))),
  (x) => ops.log1p(ops.abs(x)),
  ops.sin,
  ops.cos,
  ops.tanh,
  ops.sigmoid,
  ops.erf,
  ops.relu,
  ops.silu,
  ops.reciprocal,
  (x) => ops.reciprocalSqrt(ops.add(ops.abs(x), one())),
  (x) => ops.gelu(x, "none"),
  (x) => ops.gelu(x, "tanh"),
  (x) => ops.softplus(x, 1.5, 20),
  (x) => ops.leakyRelu(x, constant(0.1)),
  (x) => ops.elu(x, constant(1.2)),
  ops.logSigmoid,
  (x) => ops.clamp(x, constant(-0.5), constant(0.75)),
];

const anyFunctions: readonly ((x: Value) => Value)[] = [
  ops.negate,
  ops.abs,
  ops.square,
  ops.not,
  (x) => ops.where(ops.less(x, ops.zeroOf(x)), x, ops.negate(x)),
];

function fitsWith(a: Value): (b: Value) => boolean {
  return (b) => {
    const rank = Math.max(a.shape.length, b.shape.length);
    let size = 1;
    for (let i = 1; i <= rank; i++) {
      const x = a.shape.at(-i) ?? 1;
      const y = b.shape.at(-i) ?? 1;
      if (x !== y && x !== 1 && y !== 1) return false;
      size *= x === 1 ? y : x;
    }
    return size <= 4096;
  };
}

/** Two values that broadcast; the second may be a constant or a runtime scalar. */
function pair(pick: Picker): [Value, Value] | null {
  const a = pick.value();
  if (a === null) return null;
  const b = pick.value(fitsWith(a));
  if (b === null) return null;
  const number = (pick.below(13) - 6) / (isFloat(a.dtype) ? 4 : 1);
  const dtype = isFloat(a.dtype) ? "float32" : "int32";
  const kind = pick.below(8);
  if (kind === 0) return [a, constant(number, dtype)];
  if (kind === 1) return [a, scalar(number, dtype)];
  return pick.flip() ? [a, b] : [b, a];
}

const binaryFunctions: readonly ((a: Value, b: Value) => Value)[] = [
  ops.add,
  ops.subtract,
  ops.multiply,
  ops.add,
  ops.subtract,
  ops.multiply,
  ops.maximum,
  ops.minimum,
  ops.divide,
  ops.remainder,
  ops.floorDivide,
  (a, b) => ops.power(ops.add(ops.abs(a), constant(0.5)), b),
];

const comparisons = [ops.equal, ops.notEqual, ops.less, ops.lessEqual];
const logic = [ops.and, ops.or, ops.xor];

const isWhole = (value: Value): boolean => !isFloat(value.dtype);

export const elementwiseInstructions: Readonly<Record<string, Instruction>> = {
  floatFunction: (pick) => {
    const x = pick.float();
    return x && pick.one(floatFunctions)(x);
  },
  moreFloatFunction: (pick) => {
    const x = pick.float();
    return x && pick.one(floatFunctions)(x);
  },
  anyFunction: (pick) => {
    const x = pick.value();
    return x && pick.one(anyFunctions)(x);
  },
  binary: (pick) => {
    const operands = pair(pick);
    return operands && pick.one(binaryFunctions)(...operands);
  },
  moreBinary: (pick) => {
    const operands = pair(pick);
    return operands && pick.one(binaryFunctions)(...operands);
  },
  compare: (pick) => {
    const operands = pair(pick);
    return operands && pick.one(comparisons)(...operands);
  },
  logic: (pick) => {
    const a = pick.value(isWhole);
    const b = a && pick.value((value) => isWhole(value) && fitsWith(a)(value));
    return a && b && pick.one(logic)(a, b);
  },
  shift: (pick) => {
    const x = pick.value((value) => value.dtype === "int32" || value.dtype === "uint32");
    const shift = pick.flip() ? ops.shiftLeft : ops.shiftRight;
    return x && shift(x, constant(pick.below(32), x.dtype));
  },
  where: (pick) => {
    const operands = pair(pick);
    const condition = operands && pick.value(fitsWith(operands[0]));
    if (!condition || !fitsWith(condition)(operands[1])) return null;
    return ops.where(ops.less(ops.zeroOf(condition), condition), ...operands);
  },
  cast: (pick) => {
    const x = pick.value();
    return x && ops.cast(x, pick.one(dtypes));
  },
  identity: (pick) => {
    const x = pick.value();
    const earlier = pick.value();
    return x && (pick.flip() ? detach(x) : after(x, earlier!));
  },
  random: (pick) => {
    const draw = drawScalars({ key0: pick.below(100), key1: 7, counter: pick.below(100) });
    const shape = [pick.between(1, 5), pick.between(1, 7)];
    const kind = pick.below(4);
    if (kind === 0) return uniform(draw, shape);
    if (kind === 1) return normal(draw, shape);
    if (kind === 2) return randomIntegers(draw, shape, -3, pick.between(1, 9));
    const x = pick.float();
    return x && dropout(x, 0.3, draw);
  },
};
