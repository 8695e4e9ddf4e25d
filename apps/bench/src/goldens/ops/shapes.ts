/** Shape operations, which golden files give as text. */

import type { Tensor } from "@x/tensor";
import type { Output } from "../subject.js";
import { parseArgument, parseChain, splitArguments, type Argument, type Call } from "./call-syntax.js";
import type { Operation } from "./operation.js";
import { applyCall, applyIndex, applyJoin } from "./shape-calls.js";

/** Runs the text of a shape operation on `x` or on `x0`, `x1`, …; several results are `y0`, `y1`, … */
export function shapeOperation(text: string): Operation {
  return (subject) => {
    const result = applyText(text, subject.inputs("x"));
    const outputs: Record<string, Output> = {};
    if (Array.isArray(result)) result.forEach((y, i) => (outputs[`y${i}`] = y));
    else outputs.y = result;
    return { outputs };
  };
}

function applyText(text: string, tensors: readonly Tensor[]): Tensor | Tensor[] {
  const chain = parseChain(text) ?? [parseProse(text, tensors[0]!.rank)];
  const [first] = chain;
  let result: Tensor | Tensor[] = tensors[0]!;
  let rest = chain;
  if (first?.kind === "call") {
    const joined = applyJoin(withoutTensors(first), tensors);
    if (joined !== null) {
      result = joined;
      rest = chain.slice(1);
    }
  }
  for (const step of rest) {
    if (Array.isArray(result)) throw new Error(`"${text}" goes on after a call with several results`);
    result = step.kind === "index" ? applyIndex(step, result) : applyCall(step, result);
  }
  return result;
}

/** `cat([x0, x1], dim=1)` without the names of the tensors. */
function withoutTensors(call: Call): Call {
  const isNumber = (argument: Argument): boolean => typeof argument === "number";
  return { ...call, positional: call.positional.filter(isNumber) };
}

/**
 * Reads prose such as `cat dim 1`, `roll shifts (1,-2) dims (0,1)` or
 * `pad last dim (1,2), second-last (0,3), value 0.5`. What follows a colon is an explanation.
 */
function parseProse(text: string, rank: number): Call {
  const [name, rest] = splitOnce(text.split(":")[0]!.trim());
  if (name === "pad") return parsePadding(rest, rank);
  const named = new Map<string, Argument>();
  const positional: Argument[] = [];
  const pattern = /(?:([A-Za-z_]\w*)[\s=]+)?([([][^)\]]*[)\]]|-?\d+(?:\.\d+)?)/g;
  for (const [, key, value] of rest.matchAll(pattern)) {
    if (key === undefined) positional.push(parseArgument(value!));
    else named.set(key, parseArgument(value!));
  }
  return { kind: "call", name, positional, named };
}

function splitOnce(text: string): [string, string] {
  const space = text.search(/\s/);
  return space < 0 ? [text, ""] : [text.slice(0, space), text.slice(space + 1)];
}

const ordinals = ["last", "second-last", "third-last", "fourth-last", "fifth-last"];

/** Padding by axis, as PyTorch's list of pairs from the last axis on. */
function parsePadding(text: string, rank: number): Call {
  const pairs: [number, number][] = [];
  const named = new Map<string, Argument>();
  for (const part of splitArguments(text)) {
    const value = /\bvalue[\s=]+(\S+)/.exec(part);
    if (value) named.set("value", Number(value[1]));
    const found = /(?:([a-z]+-last|last)|dim\s+(-?\d+))[^(]*\(\s*(-?\d+)\s*,\s*(-?\d+)\s*\)/.exec(part);
    if (!found) continue;
    const [, ordinal, dim, before, after] = found;
    const axis = Number(dim);
    const place = ordinal === undefined ? (axis < 0 ? -1 - axis : rank - 1 - axis) : ordinals.indexOf(ordinal);
    if (place < 0) throw new Error(`no axis is called "${ordinal ?? dim}"`);
    pairs[place] = [Number(before), Number(after)];
  }
  const amounts = Array.from(pairs, (pair) => pair ?? [0, 0]).flat();
  return { kind: "call", name: "pad", positional: [amounts], named };
}
