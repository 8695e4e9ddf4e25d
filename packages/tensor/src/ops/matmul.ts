/** Matrix products and Einstein sums. */

import { check, XError } from "../error.js";
import { applyOne, makeOp, type Value } from "../graph/node.js";
import { broadcastShapes, formatShape, formatShapes, sizeOf, type Shape } from "../tensor/shape.js";
import { cast, multiply } from "./elementwise.js";
import { diagonal, expand, permute, reshape, transposeLast } from "./movement.js";
import { sum } from "./reduce.js";

/**
 * [..., m, k] × [..., k, n] → [..., m, n], leading axes equal. Inputs may be views in any order of
 * axes and may be broadcast: kernels address them by strides.
 */
const matmulOp = makeOp({
  name: "matmul",
  kind: "kernel",
  infer: ([a, b]) => {
    const batch = a!.shape.slice(0, -2);
    return [{ shape: [...batch, a!.shape.at(-2)!, b!.shape.at(-1)!], dtype: "float32" }];
  },
  gradient: (node, [g], [needsA, needsB]) => {
    const [a, b] = node.inputs as [Value, Value];
    return [
      needsA === true ? batched(g!, transposeLast(b)) : null,
      needsB === true ? batched(transposeLast(a), g!) : null,
    ];
  },
});

function batched(a: Value, b: Value): Value {
  return applyOne(matmulOp, [a, b]);
}

/**
 * Matrix product by PyTorch's rules: vectors are promoted and the added axis removed again; leading
 * axes broadcast. A matrix shared by a batch is multiplied once with all rows together.
 */
export function matmul(left: Value, right: Value): Value {
  let a = cast(left, "float32");
  let b = cast(right, "float32");
  const complain = (): never => {
    throw new XError(
      "shape",
      `matmul: the last axis of the first must match the second last of the second, got ${formatShape(left.shape)} and ${formatShape(right.shape)}. Transpose or reshape one of them.`,
    );
  };
  if (a.shape.length === 0 || b.shape.length === 0) complain();
  const leftVector = a.shape.length === 1;
  const rightVector = b.shape.length === 1;
  if (leftVector) a = reshape(a, [1, a.shape[0]!]);
  if (rightVector) b = reshape(b, [b.shape[0]!, 1]);
  const m = a.shape.at(-2)!;
  const k = a.shape.at(-1)!;
  const n = b.shape.at(-1)!;
  if (k !== b.shape.at(-2)) complain();
  const batchA = a.shape.slice(0, -2);
  const batchB = b.shape.slice(0, -2);
  let result: Value;
  if (sizeOf(batchB) === 1 && batchA.length >= batchB.length && batchA.length > 0) {
    const rows = reshape(a, [sizeOf(batchA) * m, k]);
    result = reshape(batched(rows, reshape(b, [k, n])), [...batchA, m, n]);
  } else {
    const batch = broadcastShapes("matmul", batchA, batchB);
    result = batched(expand(a, [...batch, m, k]), expand(b, [...batch, k, n]));
  }
  const shape: Shape = [
    ...result.shape.slice(0, -2),
    ...(leftVector ? [] : [m]),
    ...(rightVector ? [] : [n]),
  ];
  return reshape(result, shape);
}

const ellipsisLetters = "ABCDEFGH";

function parseEquation(
  equation: string,
  operands: readonly Value[],
): { terms: string[]; output: string } {
  const fail = (problem: string): never => {
    throw new XError(
      "argument",
      `einsum: ${problem}, got "${equation}" for shapes ${formatShapes(...operands)}. Write one letter per axis, e.g. "bij,bjk->bik".`,
    );
  };
  const text = equation.replaceAll(" ", "");
  const [left, right, ...rest] = text.split("->");
  if (rest.length > 0 || left === undefined) fail("there may be one arrow");
  const inputs = left!.split(",");
  if (inputs.length !== operands.length) fail("there must be one term per tensor");
  const terms = inputs.map((term, i) => {
    const letters = term.replace("...", "").length;
    const rank = operands[i]!.shape.length;
    if (!/^[a-z]*(\.\.\.)?[a-z]*$/.test(term))
      fail("terms take lower-case letters and one ellipsis");
    if (term.includes("...") ? letters > rank : letters !== rank) {
      fail("each term must name every axis of its tensor");
    }
    return term.replace("...", ellipsisLetters.slice(ellipsisLetters.length - (rank - letters)));
  });
  const longest = terms
    .map((term) => term.replaceAll(/[a-z]/g, ""))
    .reduce((a, b) => (b.length > a.length ? b : a), "");
  let output = right?.replace("...", longest);
  if (output === undefined) {
    // Without an arrow: letters that occur once, in alphabetic order, after the ellipsis.
    const counts = new Map<string, number>();
    for (const letter of terms.join("").replaceAll(/[A-Z]/g, "")) {
      counts.set(letter, (counts.get(letter) ?? 0) + 1);
    }
    const single = [...counts].filter(([, count]) => count === 1).map(([letter]) => letter);
    output = longest + single.sort().join("");
  }
  if (new Set(output).size !== output.length) fail("the result may name each letter once");
  for (const letter of output) {
    if (!terms.some((term) => term.includes(letter)))
      fail("the result may only name known letters");
  }
  return { terms, output };
}

interface Term {
  readonly value: Value;
  readonly letters: string;
}

/** Takes diagonals where a letter repeats within one term. */
function withoutRepeats({ value, letters }: Term): Term {
  for (let i = 0; i < letters.length; i++) {
    const j = letters.indexOf(letters[i]!, i + 1);
    if (j < 0) continue;
    check(
      value.shape[i] === value.shape[j],
      "shape",
      () =>
        `einsum: axes with the same letter must have the same size, got ${formatShape(value.shape)} for "${letters}". Rename one of them.`,
    );
    const order = value.shape.map((_, axis) => axis).filter((axis) => axis !== i && axis !== j);
    const rest = [...letters].filter((_, axis) => axis !== i && axis !== j).join("");
    return withoutRepeats({
      value: diagonal(permute(value, [...order, i, j])),
      letters: rest + letters[i]!,
    });
  }
  return { value, letters };
}

/** Sums a term over the letters nobody else needs. */
function withoutUnused({ value, letters }: Term, needed: string): Term {
  const axes = [...letters].flatMap((letter, i) => (needed.includes(letter) ? [] : [i]));
  return {
    value: sum(value, axes),
    letters: [...letters].filter((letter) => needed.includes(letter)).join(""),
  };
}

/** The term as a view over `letters`, with size-1 axes for those it lacks. */
function arranged({ value, letters }: Term, order: string): Value {
  const present = [...order].filter((letter) => letters.includes(letter));
  const permuted = permute(
    value,
    present.map((letter) => letters.indexOf(letter)),
  );
  let next = 0;
  const shape = [...order].map((letter) =>
    letters.includes(letter) ? permuted.shape[next++]! : 1,
  );
  return reshape(permuted, shape);
}

/** Contracts two terms, keeping the letters in `needed`. */
function contract(a: Term, b: Term, needed: string): Term {
  const left = withoutUnused(a, needed + b.letters);
  const right = withoutUnused(b, needed + a.letters);
  const shared = [...left.letters].filter((letter) => right.letters.includes(letter));
  const batch = shared.filter((letter) => needed.includes(letter)).join("");
  const summed = shared.filter((letter) => !needed.includes(letter)).join("");
  const rows = [...left.letters].filter((letter) => !right.letters.includes(letter)).join("");
  const columns = [...right.letters].filter((letter) => !left.letters.includes(letter)).join("");
  const sizes = new Map<string, number>();
  for (const term of [left, right]) {
    [...term.letters].forEach((letter, i) => {
      const n = term.value.shape[i]!;
      const before = sizes.get(letter) ?? 1;
      check(
        before === n || before === 1 || n === 1,
        "shape",
        () =>
          `einsum: axes with the same letter must have the same size, got ${before} and ${n} for "${letter}". Check the equation.`,
      );
      sizes.set(letter, n === 1 ? before : n);
    });
  }
  const sizesOf = (letters: string): number[] => [...letters].map((letter) => sizes.get(letter)!);
  if (summed === "") {
    const order = batch + rows + columns;
    return { value: multiply(arranged(left, order), arranged(right, order)), letters: order };
  }
  const size = (letters: string): number => sizeOf(sizesOf(letters));
  const x = expand(arranged(left, batch + rows + summed), sizesOf(batch + rows + summed));
  const y = expand(arranged(right, batch + summed + columns), sizesOf(batch + summed + columns));
  const result = batched(
    cast(reshape(x, [size(batch), size(rows), size(summed)]), "float32"),
    cast(reshape(y, [size(batch), size(summed), size(columns)]), "float32"),
  );
  return {
    value: reshape(result, sizesOf(batch + rows + columns)),
    letters: batch + rows + columns,
  };
}

/** Einstein sum over any number of tensors, contracted from left to right. */
export function einsum(equation: string, operands: readonly Value[]): Value {
  check(
    operands.length > 0,
    "argument",
    () => `einsum: at least one tensor is needed, got none for "${equation}". Pass the operands.`,
  );
  const { terms, output } = parseEquation(equation, operands);
  const [first, ...others] = operands.map((value, i) =>
    withoutRepeats({ value, letters: terms[i]! }),
  );
  let result = first!;
  others.forEach((term, i) => {
    const later = others.slice(i + 1).map((other) => other.letters);
    result = contract(result, term, output + later.join(""));
  });
  result = withoutUnused(result, output);
  return arranged(result, output);
}
