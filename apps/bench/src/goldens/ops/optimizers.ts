import type { Runner } from "../subject.js";
export const runOptimizer: Runner = () => { throw new Error("TODO"); };
