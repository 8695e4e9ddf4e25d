/**
 * The structure of a graph, written down as words.
 *
 * Two graphs with the same words compute the same function of their inputs and scalars, so one plan
 * serves both: the second training step finds the plan of the first. The words are written to one
 * place that is used again and again, and copied only for a structure that is new.
 */

import type { Graph } from "./graph.js";
import type { Attribute } from "./node.js";

const texts = new Map<string, number>();

function internText(text: string): number {
  let number = texts.get(text);
  if (number === undefined) {
    number = texts.size;
    texts.set(text, number);
  }
  return number;
}

const float = new Float64Array(1);
const floatWords = new Int32Array(float.buffer);

let words = new Int32Array(1 << 14);
let used = 0;

function push(word: number): void {
  if (used === words.length) {
    const larger = new Int32Array(words.length * 2);
    larger.set(words);
    words = larger;
  }
  words[used++] = word;
}

function pushNumber(value: number): void {
  const word = value | 0;
  if (word === value && word !== 0x7fffffff && !Object.is(value, -0)) {
    push(word);
  } else {
    float[0] = value;
    push(0x7fffffff);
    push(floatWords[0]!);
    push(floatWords[1]!);
  }
}

function pushAttribute(attribute: Attribute): void {
  switch (typeof attribute) {
    case "number":
      pushNumber(attribute);
      break;
    case "string":
      push(internText(attribute));
      break;
    case "boolean":
      push(attribute ? 1 : 0);
      break;
    default:
      if (attribute === null) {
        // A marker no number can have: the bits of a NaN that `pushNumber` never makes.
        push(0x7fffffff);
        push(-1);
        push(-1);
      } else {
        push(attribute.length);
        for (const value of attribute) pushNumber(value);
      }
  }
}

/** Writes the structure of `graph` down, in place of the one before; gives its hash. */
export function writeStructure({ nodes, outputs, updates }: Graph): number {
  used = 0;
  for (const node of nodes) {
    push(node.op.id);
    push(node.inputs.length);
    for (const input of node.inputs) {
      push(input.node.position);
      push(input.index);
    }
    for (const name in node.attributes) {
      push(internText(name));
      pushAttribute(node.attributes[name]!);
    }
    if (node.inputs.length === 0) {
      const value = node.outputs[0]!;
      push(internText(value.dtype));
      push(value.shape.length);
      for (const n of value.shape) push(n);
    }
  }
  outputs.forEach((output, i) => {
    push(output.node.position);
    push(output.index);
    push(updates[i] ?? -1);
  });
  let hash = 0x811c9dc5;
  for (let i = 0; i < used; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193) ^ (hash >>> 15);
  return hash;
}

/** Whether `structure` is what was written down last. */
export function isWritten(structure: Int32Array): boolean {
  if (structure.length !== used) return false;
  for (let i = 0; i < used; i++) if (structure[i] !== words[i]) return false;
  return true;
}

/** A copy of what was written down last. */
export function copyOfWritten(): Int32Array {
  return words.slice(0, used);
}
