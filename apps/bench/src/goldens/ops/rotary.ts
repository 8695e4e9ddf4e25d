import type { Runner } from "../subject.js";
export const rotary: Runner = () => { throw new Error("TODO"); };
