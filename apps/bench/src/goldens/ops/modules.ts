import type { Runner } from "../subject.js";
export const runModule: Runner = () => { throw new Error("TODO"); };
