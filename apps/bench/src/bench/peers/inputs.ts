/** The numbers that tasks are given. */

import { inputShapes, type Task } from "./peer.js";

/** Numbers between −1 and 1, the same on every run. */
export function numbers(size: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed >>> 0 || 1;
  return Float32Array.from({ length: size }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 31 - 1;
  });
}

/** The inputs of a task, the same for every library. */
export function inputsOf(task: Task): Float32Array[] {
  return inputShapes(task).map((shape, i) =>
    numbers(
      shape.reduce((a, b) => a * b, 1),
      i + 1,
    ),
  );
}
