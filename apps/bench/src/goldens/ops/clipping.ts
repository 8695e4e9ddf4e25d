import type { Operation } from "./operation.js";
export const clipByNorm: Operation = () => { throw new Error("TODO"); };
export const clipByValue = clipByNorm;
